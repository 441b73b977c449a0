"""What it is worth to tell workers ahead what plans will ask: `python -m benchmarks.announcements [--traces N]`.

Made traces of prompts that go to three experts at once and, seconds later, to a fourth that merges. The policy is the
one of workers; each trace is run twice, with the merging call announced together with its prompt, and without.
Out: a table of medians. Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.machine import Machine, describe_machine
from benchmarks.markdown import machine_lines, table
from benchmarks.programs import say
from benchmarks.running import run
from workers.errors import SimulationError
from workers.policies import make_policy
from workers.simulator.comparison import Case
from workers.simulator.generators import TraceSpec, make_experts, make_trace
from workers.simulator.trace import GB
from workers.spec import MemorySpec

MAX_WAIT_S = 30.0
_FIRST_SEED = 2000
_HOST_GB = 2000
_PACKAGES = ("coe", "numpy")


@dataclass(frozen=True, slots=True)
class Setting:
    """Experts on a device of so many GB, requests a second in the mean, and when the merging call follows."""

    experts: int
    device_gb: int
    rate: float
    merge_after_s: float

    def __str__(self) -> str:
        return f"{self.experts}, {self.device_gb} GB, {self.rate:g}/s, merged after {self.merge_after_s:g} s"


SETTINGS = (
    Setting(12, 60, 0.05, 10),
    Setting(12, 60, 0.2, 10),
    Setting(100, 112, 0.2, 10),
    Setting(100, 112, 0.5, 5),
    Setting(100, 112, 1.0, 5),
)


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one run, in seconds: all loading, and the mean waits of merging calls and of the others."""

    load_s: float
    merging_s: float
    others_s: float


@dataclass(frozen=True, slots=True)
class Pair:
    """One trace, run both ways."""

    silent: Figures
    announced: Figures


@dataclass(frozen=True, slots=True)
class Report:
    pairs: Sequence[tuple[Setting, Sequence[Pair]]]
    machine: Machine


def measure(traces: int, requests: int) -> Report:
    machine = describe_machine(_PACKAGES)
    pairs = []
    for setting in SETTINGS:
        pairs.append((setting, [_pair(setting, _FIRST_SEED + number, requests) for number in range(traces)]))
        say(f"{setting}: {traces} traces")
    return Report(pairs, machine)


def _pair(setting: Setting, seed: int, requests: int) -> Pair:
    experts = make_experts(setting.experts, seed)
    largest = max(cost.size for cost in experts.values())
    spec = TraceSpec(requests=requests, rate=setting.rate, merge_after_s=setting.merge_after_s)
    case = Case(
        requests=make_trace("moa", list(experts), spec, seed),
        experts=experts,
        device_bytes=max(largest, setting.device_gb * GB),
        host_bytes=_HOST_GB * GB,
    )
    silent = replace(case, requests=[replace(asked, announced=None) for asked in case.requests])
    merges = [asked.announced is not None for asked in case.requests]
    return Pair(silent=_figures(silent, merges), announced=_figures(case, merges))


def _figures(case: Case, merges: Sequence[bool]) -> Figures:
    done = case.run(make_policy(MemorySpec(max_wait_s=MAX_WAIT_S), slots=1))
    waits, merging = np.array(done.waits), np.array(merges)
    return Figures(done.load_seconds, float(waits[merging].mean()), float(waits[~merging].mean()))


def as_markdown(report: Report) -> str:
    head = ("experts, device, requests", "loading", "wait of merging calls, s", "wait of the others")
    rows = [(str(setting), *_row(pairs)) for setting, pairs in report.pairs]
    return "\n".join([*table([head, *rows]), "", *machine_lines(report.machine)])


def _row(pairs: Sequence[Pair]) -> tuple[str, str, str]:
    loading = float(np.median([pair.announced.load_s / pair.silent.load_s - 1 for pair in pairs]))
    others = float(np.median([pair.announced.others_s / pair.silent.others_s - 1 for pair in pairs]))
    before = float(np.median([pair.silent.merging_s for pair in pairs]))
    after = float(np.median([pair.announced.merging_s for pair in pairs]))
    return f"{loading:+.1%}", f"{before:.2f} → {after:.2f}", f"{others:+.1%}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=20, help="of each setting")
    parser.add_argument("--requests", type=int, default=3_000, help="of each trace")
    wanted = parser.parse_args()
    return run(lambda: measure(wanted.traces, wanted.requests), as_markdown, (SimulationError,))


if __name__ == "__main__":
    sys.exit(main())
