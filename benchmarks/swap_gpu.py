"""Changing models on a GPU with vLLM itself: a shape goes in, every way in seconds and of the host link comes out.

Two checkpoints of that shape with random weights: one engine turned from each into the other, from disk, from pinned
host memory and from images; and the same engine put to sleep and woken. Not run yet: no machine with a GPU and vLLM was
at hand. `benchmarks.image_copy` measures the copies alone, and needs no vLLM.
"""

from __future__ import annotations

import asyncio
import math
import shutil
import tempfile
import time
from collections.abc import Awaitable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.llama_shapes import SHAPES, LlamaShape
from benchmarks.machine import Machine, describe_machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table
from benchmarks.merged_experts import base_directory
from benchmarks.programs import say
from benchmarks.swap_engine import SwapEngine, swap_engine
from workers.engine import ENGINE_URL
from workers.sleep import EngineSleep, Level, sleep_arguments

__all__ = ["SHAPES", "as_json", "as_markdown", "measure"]

_PACKAGES = ("coe", "vllm", "torch")
_TARGET = 0.7
_LEVELS: tuple[Level, ...] = (1, 2)


@dataclass(frozen=True, slots=True)
class Report:
    """Median seconds by way, verification included; `loads` without it. `link_bytes_per_s`: of pinned memory."""

    machine: Machine
    shape: str
    nbytes: int
    link_bytes_per_s: float
    seconds: dict[str, float]
    loads: dict[str, float]
    goals: list[Goal]


def measure(shape: str, rounds: int, cache_dir: Path) -> Report:
    """Raises `WorkerError`, or `OSError` where two checkpoints of the shape have no room."""
    machine = describe_machine(_PACKAGES)
    pair = [_checkpoint(shape, seed, cache_dir) for seed in range(2)]
    nbytes = 2 * sum(math.prod(size) for _, size in SHAPES[shape].checkpoint())
    link = _link_rate()
    with tempfile.TemporaryDirectory(prefix="coe-swap-") as folder:
        seconds, loads = asyncio.run(_ways(pair, rounds, Path(folder)))
    share = nbytes / min(loads["image"]) / link
    goals = [Goal(f"image → device, of the host link, at least {_TARGET:.0%}", share, share >= _TARGET)]
    return Report(machine, shape, nbytes, link, _medians(seconds), _medians(loads), goals)


def _checkpoint(shape: str, seed: int, cache_dir: Path) -> Path:
    """Random weights with the tokenizer that ships; kept, because writing them takes minutes."""
    target = cache_dir / "models" / f"random-{shape}-{seed}"
    if not target.is_dir():
        say(f"writing {target.name}")
        base = base_directory(cache_dir)
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
    save_file(tensors, folder / "model.safetensors")


async def _ways(pair: list[Path], rounds: int, folder: Path) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    seconds: dict[str, list[float]] = {}
    loads: dict[str, list[float]] = {}
    async with swap_engine(pair[0], folder, device="gpu", extra_args=tuple(sleep_arguments())) as engine:
        seconds["start"] = [engine.started_s]
        expected: dict[str, tuple[str, ...]] = {}
        for fetched in (False, True):
            for checkpoint in pair if fetched else ():
                await engine.slot.fetch(checkpoint.name, checkpoint)
            for _ in range(rounds + 1):  # the first from host memory makes the images
                for checkpoint in reversed(pair):
                    done = await engine.slot.replace(checkpoint.name, checkpoint)
                    seconds.setdefault(done.tier, []).append(done.seconds)
                    loads.setdefault(done.tier, []).append(done.load_s)
                    answers = await engine.answers()
                    if expected.setdefault(checkpoint.name, answers) != answers:
                        say(f"warning: {checkpoint.name} answers otherwise than at first")
        await _sleeps(engine, pair[0], rounds, seconds)
    return seconds, loads


async def _sleeps(engine: SwapEngine, resident: Path, rounds: int, seconds: dict[str, list[float]]) -> None:
    sleeper = EngineSleep(engine.session, ENGINE_URL, engine.slot, device="gpu")
    for level in _LEVELS:
        for _ in range(rounds):
            seconds.setdefault(f"sleep {level}", []).append(await _timed(sleeper.sleep(level)))
            seconds.setdefault(f"wake {level}", []).append(await _timed(sleeper.wake(resident.name, resident)))


async def _timed(work: Awaitable[object]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


def _link_rate() -> float:
    import torch  # noqa: PLC0415 - only on a machine with a GPU

    from benchmarks.image_copy import link_rate  # noqa: PLC0415 - imports torch

    return link_rate(torch.device("cuda"), rounds=5)


def _medians(values: dict[str, list[float]]) -> dict[str, float]:
    return {name: float(np.median(each)) for name, each in values.items()}


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def as_markdown(found: Report) -> str:
    rows = [("way", "median s", "of it loading", "of the host link"), *(_row(found, way) for way in found.seconds)]
    lines = [*table(rows), "", *goals_table("target", found.goals), ""]
    lines.append(
        f"Shape {found.shape}, {found.nbytes / 1e9:.1f} GB in bfloat16; the host link takes "
        f"{found.link_bytes_per_s / 1e9:.1f} GB/s from pinned memory."
    )
    return "\n".join([*lines, "", *machine_lines(found.machine)])


def _row(found: Report, way: str) -> tuple[str, ...]:
    load = found.loads.get(way)
    shares = ("", "") if load is None else (f"{load:.3f}", f"{found.nbytes / load / found.link_bytes_per_s:.0%}")
    return (way, f"{found.seconds[way]:.3f}", *shares)
