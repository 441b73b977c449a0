"""The figures of a simulation: runs come in, what people compare and what programs read go out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np

from workers.simulator.optimum import Optimum
from workers.simulator.run import Run

DEFAULT, BASELINE = "default", "fcfs-lru"


@dataclass(frozen=True, slots=True)
class Waits:
    """Seconds from arrivals to the start of their services."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What one policy made of a trace. `load_seconds`: in which the device was taken up by loads."""

    loads: int
    load_seconds: float
    makespan_s: float
    wait_s: Waits


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Policies on one trace, beside the optimum of all schedules that keep `max_wait_s`.

    `max_wait_s` is what the default policy was given and held; `asked_max_wait_s` what was asked for, if anything.
    """

    policies: Mapping[str, Figures]
    optimum: Optimum
    max_wait_s: float
    asked_max_wait_s: float | None

    @property
    def to_optimum(self) -> float:
        """The default policy's load seconds per second of the optimum; 1 where both load for no time."""
        return ratio(self.policies[DEFAULT].load_seconds, self.optimum.load_seconds)

    @property
    def to_baseline(self) -> float:
        """The default policy's load seconds per second of FCFS with LRU; 1 where both load for no time."""
        return ratio(self.policies[DEFAULT].load_seconds, self.policies[BASELINE].load_seconds)

    def to_json(self) -> dict[str, object]:
        """The keys of the command's JSON."""
        return {
            "policies": {name: asdict(figures) for name, figures in self.policies.items()},
            "optimum": asdict(self.optimum),
            "max_wait_s": self.max_wait_s,
        }


def figures_of(run: Run) -> Figures:
    waits = np.array(run.waits)
    p50, p95, p99 = (float(value) for value in np.quantile(waits, [0.5, 0.95, 0.99]))
    return Figures(
        loads=len(run.loads),
        load_seconds=run.load_seconds,
        makespan_s=run.makespan_s,
        wait_s=Waits(float(waits.mean()), p50, p95, p99, float(waits.max())),
    )


def ratio(seconds: float, of: float) -> float:
    """`seconds` per second `of`; 1 for nothing of nothing."""
    if of > 0:
        return seconds / of
    return 1.0 if seconds == 0 else float("inf")
