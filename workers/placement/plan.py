"""What a placement is: which copy is where, what stays off the devices, and how good that is proven to be."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from workers.reports import Tier

CriterionName: TypeAlias = Literal["maximum load", "loading", "split plans", "bytes to load", "copies"]


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of an expert on `devices` of a worker, which answers `share` (0 to 1) of the expert's requests."""

    expert: str
    worker: str
    devices: tuple[int, ...]
    share: float


@dataclass(frozen=True, slots=True)
class OffDevice:
    """An expert that no device holds at the start: it is swapped in from `tier` on these devices when it is asked for.

    `loading` are the seconds a second that this takes where every request needs a load.
    """

    expert: str
    worker: str
    devices: tuple[int, ...]
    tier: Tier
    loading: float


@dataclass(frozen=True, slots=True)
class DeviceUse:
    """`used` bytes of `budget`, and the load: seconds of work that come in a second."""

    worker: str
    device: int
    used: int
    budget: int
    load: float


@dataclass(frozen=True, slots=True)
class Criterion:
    """One aim. `value` is the plan's; `best` the least found, given the aims before; `bound` what none can be below.

    `value` may be above `best` for the first aim alone, by the planner's slack.
    """

    name: CriterionName
    value: float
    best: float
    bound: float

    @property
    def gap(self) -> float:
        """The part of `best` that is not proven to be needed; 0: `best` is the optimum."""
        return max(0.0, self.best - self.bound) / self.best if self.best > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Plan:
    """`copies` and `off_device` in the order of the problem, `criteria` from the most to the least important."""

    copies: tuple[Copy, ...]
    off_device: tuple[OffDevice, ...]
    devices: tuple[DeviceUse, ...]
    criteria: tuple[Criterion, ...]

    @property
    def maximum_load(self) -> float:
        """Of the busiest device; above 1 the work comes in faster than it is done."""
        return max(use.load for use in self.devices)

    @property
    def replicas(self) -> int:
        """Copies beyond the first of an expert."""
        return len(self.copies) - len({copy.expert for copy in self.copies})

    @property
    def proven(self) -> bool:
        """No plan is better by more than one part in a million."""
        return all(criterion.gap <= 1e-6 for criterion in self.criteria)
