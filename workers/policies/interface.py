"""Which weights come into device memory next, and which leave it: what waits and what is resident in, a choice out.

    Memory ─▶ Policy.choose ─▶ Serve, Swap or Wait ─▶ whoever drives it, a worker's admission or the simulator, does it

Policies are plain objects without a clock, a thread or a lock: time is an argument, in seconds from any start. What
moves is called by a name and is an expert with weights of its own, or a model below several experts.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from workers.reports import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What it costs to hold some weights and to bring them in.

    `size` is in bytes, on the device as in host memory. `load_s` are the seconds that the device is taken up by a load
    from `host` and from `disk`, as measured or expected.
    """

    size: int
    load_s: Mapping[Tier, float]


@dataclass(frozen=True, slots=True)
class Expected:
    """A request that is to come by the time `until`, with a probability in [0, 1]."""

    probability: float
    until: float


@dataclass(slots=True, kw_only=True)
class Memory:
    """What is where, what runs and what waits, on one device. Its driver writes it; policies only read.

    Attributes:
        costs: of everything that may be asked for.
        device_bytes: that weights may take on the device.
        host_bytes: that copies in host memory may take. What is on the device may have a copy there as well.
        groups: of each of these sets at most one member can be resident.
        resident: what is on the device, and when it was last let in a request; the longest unused first.
        host: what has a copy in host memory, the longest unused first.
        queues: arrival times of the requests that wait, the oldest first. No queue is empty.
        running: requests that run, by name; only where there are some.
        full: residents that cannot take another request now.
        pinned: residents that must stay.
        disk_only: what cannot be copied to host memory now.
        expected: what requests were announced for that have not come yet.
    """

    costs: Mapping[str, Cost]
    device_bytes: int
    host_bytes: int
    groups: tuple[frozenset[str], ...] = ()
    resident: dict[str, float] = field(default_factory=dict)
    host: dict[str, float] = field(default_factory=dict)
    queues: dict[str, deque[float]] = field(default_factory=dict)
    running: dict[str, int] = field(default_factory=dict)
    full: set[str] = field(default_factory=set)
    pinned: set[str] = field(default_factory=set)
    disk_only: set[str] = field(default_factory=set)
    expected: dict[str, Expected] = field(default_factory=dict)

    def tier(self, name: str) -> Tier:
        """The fastest tier that holds `name`."""
        return "device" if name in self.resident else "host" if name in self.host else "disk"

    def may_come_to_host(self, name: str) -> bool:
        """Whether a copy of `name` can be made in host memory, if need be in the place of others."""
        return name not in self.disk_only and self.costs[name].size <= self.host_bytes

    def is_expected(self, name: str, now: float) -> bool:
        """Whether a request for `name` was announced, and may yet come."""
        return name in self.expected and now < self.expected[name].until

    def load_s(self, name: str) -> float:
        """Seconds to make `name` resident from where it is now; 0 where it is resident."""
        tier = self.tier(name)
        return 0.0 if tier == "device" else self.costs[name].load_s[tier]

    def evicted_for(self, name: str, order: list[str]) -> tuple[str, ...] | None:
        """The first of `order` that must leave so that `name` comes in; None where that is not enough.

        What shares a group with `name` leaves in any case, and first.
        """
        rivals = [other for other in self.resident if any({name, other} <= group for group in self.groups)]
        if any(rival not in order for rival in rivals):
            return None
        free = self.device_bytes - sum(self.costs[other].size for other in self.resident)
        evicted = []
        for other in dict.fromkeys([*rivals, *order]):
            if free >= self.costs[name].size and other not in rivals:
                break
            evicted.append(other)
            free += self.costs[other].size
        return tuple(evicted) if free >= self.costs[name].size else None


@dataclass(frozen=True, slots=True)
class Serve:
    """Let the oldest waiting request of the resident `name` in."""

    name: str


@dataclass(frozen=True, slots=True)
class Swap:
    """Let what runs on `evict` end and nothing else in there, then make `name` resident in its place."""

    name: str
    evict: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Wait:
    """Do nothing before `until`, unless a request comes or ends or a load is done."""

    until: float = math.inf


Choice: TypeAlias = Serve | Swap | Wait


class Policy(Protocol):
    """One object drives one device from its start to its end, so it may remember what it was told."""

    def arrived(self, name: str, now: float) -> None:
        """A request for `name` came."""

    def ended(self, name: str, service_s: float, now: float) -> None:
        """A request for `name` ended, `service_s` seconds after it was let in."""

    def loaded(self, name: str, now: float) -> None:
        """A load of `name` is done."""

    def choose(self, memory: Memory, now: float) -> Choice:
        """What to do now. Asked again after each `Serve`, request, end of a request or load, never while a swap is
        under way.
        """
        ...

    def leaves_host(self, memory: Memory, now: float) -> list[str]:
        """What has a copy in host memory, in the order in which copies are to be dropped when room is needed."""
        ...

    def prefetch(self, memory: Memory, now: float) -> str | None:
        """What to copy from disk to host memory next while the device is busy."""
        ...
