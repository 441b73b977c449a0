"""Seconds of starts and swaps in, the published figures out: medians, rates, targets, tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import orjson

from benchmarks.machine import Machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table

START, DISK, COLD_DISK, TO_HOST, HOST, WHOLE = "start", "disk", "cold disk", "to host", "host", "whole"
_PATHS = {
    START: "a process of its own, from its start to verified weights",
    COLD_DISK: "disk → device in place, nothing of the file in memory",
    DISK: "disk → device in place, the file in the page cache",
    TO_HOST: "disk → host copy, the file in the page cache",
    HOST: "host → device in place",
    WHOLE: "host → device in place, also what is resident already",
}
_MOST_S, _TIMES_FASTER = 0.5, 100.0


@dataclass(slots=True)
class Times:
    """What is being measured: seconds by path, the bytes of one expert, and how many swaps' answers were compared.

    `unchanged_bytes`: of an expert, that the one before had as well.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    loading: dict[str, list[float]] = field(default_factory=dict)
    verifying: dict[str, list[float]] = field(default_factory=dict)
    nbytes: int = 0
    unchanged_bytes: int = 0
    compared: int = 0

    def add(self, path: str, seconds: float, *, loading: float | None = None, verifying: float | None = None) -> None:
        self.seconds.setdefault(path, []).append(seconds)
        if loading is not None and verifying is not None:
            self.loading.setdefault(path, []).append(loading)
            self.verifying.setdefault(path, []).append(verifying)


@dataclass(frozen=True, slots=True)
class Path:
    """Seconds, and bytes of the expert a second; `load_s` and `verify_s` are medians of the parts, None without any."""

    count: int
    p50_s: float
    p95_s: float
    load_s: float | None
    verify_s: float | None
    bytes_per_s: float


@dataclass(frozen=True, slots=True)
class Report:
    """`memory_growth_bytes`: of the engine, from the first to the last round."""

    machine: Machine
    nbytes: int
    unchanged_bytes: int
    paths: dict[str, Path]
    memory_copy_bytes_per_s: float
    memory_growth_bytes: int
    compared: int
    goals: list[Goal]


def report(machine: Machine, times: Times, copy_rate: float, memory_growth: int) -> Report:
    paths = {path: _path(times, path) for path in _PATHS}
    faster = paths[START].p50_s / paths[HOST].p50_s
    goals = [
        Goal(f"host → device, verified, 95th percentile, at most {_MOST_S} s", paths[HOST].p95_s, _holds(paths, HOST)),
        Goal(f"disk → device, verified, 95th percentile, at most {_MOST_S} s", paths[DISK].p95_s, _holds(paths, DISK)),
        Goal(f"times faster than a process of its own, at least {_TIMES_FASTER:g}", faster, faster >= _TIMES_FASTER),
    ]
    sizes = times.nbytes, times.unchanged_bytes
    return Report(machine, *sizes, paths, copy_rate, memory_growth, times.compared, goals)


def _holds(paths: dict[str, Path], tier: str) -> bool:
    return paths[tier].p95_s <= _MOST_S


def _path(times: Times, path: str) -> Path:
    p50, p95 = np.quantile(times.seconds[path], [0.5, 0.95])
    return Path(
        count=len(times.seconds[path]),
        p50_s=float(p50),
        p95_s=float(p95),
        load_s=_median(times.loading.get(path)),
        verify_s=_median(times.verifying.get(path)),
        bytes_per_s=times.nbytes / float(p50),
    )


def _median(values: Sequence[float] | None) -> float | None:
    return float(np.median(values)) if values else None


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def as_markdown(found: Report) -> str:
    head = ("path", "measured", "median s", "p95 s", "of it loading", "verifying", "GB/s", "of a memory copy")
    rows = [(_PATHS[name], *_cells(path, found.memory_copy_bytes_per_s)) for name, path in found.paths.items()]
    lines = table([head, *rows])
    lines += ["", *goals_table("target", found.goals), ""]
    lines.append(
        f"An expert has {found.nbytes / 1e6:,.0f} MB in bfloat16, {found.unchanged_bytes / 1e6:,.0f} MB of it in "
        "common with the others; one thread of this machine copies memory at "
        f"{found.memory_copy_bytes_per_s / 1e9:.1f} GB/s. Answers after all {found.compared} swaps were those of a "
        f"fresh process. The engine's memory grew by {found.memory_growth_bytes / 1e6:,.0f} MB over them."
    )
    return "\n".join([*lines, "", *machine_lines(found.machine)])


def _cells(path: Path, copy_rate: float) -> tuple[str, ...]:
    parts = ["" if part is None else f"{part:.3f}" for part in (path.load_s, path.verify_s)]
    rate = f"{path.bytes_per_s / 1e9:.3g}"
    return (
        str(path.count),
        f"{path.p50_s:.3f}",
        f"{path.p95_s:.3f}",
        *parts,
        rate,
        f"{path.bytes_per_s / copy_rate:.1%}",
    )
