"""One device that serves one request at a time: a trace, experts and a policy come in, what happened goes out.

The rules, which the optimum keeps as well (`workers.simulator.optimum`):
- The device serves or loads, never both. A service is not interrupted. All is on disk at the first arrival.
- A load takes the device's room at its start, after what was evicted; weights are read-only, so nothing is written
  back. From disk it passes host memory, where a copy stays if there is room, else it goes past.
- Copies from disk to host memory run beside the device, one at a time, and take what a load from disk takes more than
  one from host memory.
- Requests that are announced are expected, for certain, until they arrive.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workers.errors import SimulationError
from workers.policies import Cost, Expected, Memory, Policy, Serve, Swap, Wait
from workers.reports import Tier
from workers.simulator.trace import GB, Request


@dataclass(frozen=True, slots=True)
class Load:
    """`name` became resident between `start` and `end`, in seconds; `evicted` left at the start.

    `kept`: from disk, with a copy left in host memory, whose room is taken from the start.
    """

    name: str
    tier: Tier
    start: float
    end: float
    evicted: tuple[str, ...] = ()
    kept: bool = False


@dataclass(frozen=True, slots=True)
class Copy:
    """`name` was copied from disk to host memory between `start` and `end`, in seconds."""

    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Dropped:
    """The copy of `name` in host memory went at `at`."""

    name: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What happened. `starts[i]` is when the service of the trace's request i began, in seconds."""

    requests: Sequence[Request]
    starts: Sequence[float]
    loads: Sequence[Load]
    copies: Sequence[Copy]
    dropped: Sequence[Dropped]

    @property
    def load_seconds(self) -> float:
        """Seconds in which the device was taken up by loads."""
        return math.fsum(load.end - load.start for load in self.loads)

    @property
    def waits(self) -> list[float]:
        """Seconds from each request's arrival to the start of its service."""
        return [start - request.t for start, request in zip(self.starts, self.requests, strict=True)]

    @property
    def makespan_s(self) -> float:
        """From the first arrival to the end of the last service."""
        ends = (start + request.service_s for start, request in zip(self.starts, self.requests, strict=True))
        return max(ends) - self.requests[0].t


def simulate(
    requests: Sequence[Request], experts: Mapping[str, Cost], policy: Policy, *, device_bytes: int, host_bytes: int
) -> Run:
    """Runs `policy`, a fresh one, over `requests` in order of arrival.

    Raises:
        SimulationError: an expert does not fit the device, or there is no request.
    """
    check_fits(requests, experts, device_bytes)
    return _Device(requests, experts, policy, device_bytes, host_bytes).run()


def check_fits(requests: Sequence[Request], experts: Mapping[str, Cost], device_bytes: int) -> None:
    """Raises SimulationError where there is no request, or where an expert is larger than the device."""
    if not requests:
        raise SimulationError("There is no request to simulate")
    for name, cost in experts.items():
        if cost.size > device_bytes:
            raise SimulationError(
                f"Expert {name!r} takes {cost.size / GB:g} GB, the device has {device_bytes / GB:g} GB: "
                "give the device more or leave the expert out"
            )


@dataclass(slots=True)
class _Device:
    requests: Sequence[Request]
    experts: Mapping[str, Cost]
    policy: Policy
    device_bytes: int
    host_bytes: int
    memory: Memory = field(init=False)
    now: float = field(init=False)
    arrived: int = 0
    to_announce: deque[tuple[float, str, float]] = field(init=False)
    waiting: dict[str, deque[int]] = field(default_factory=dict)
    starts: list[float] = field(default_factory=list)
    loads: list[Load] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    dropped: list[Dropped] = field(default_factory=list)
    serving: tuple[str, float] | None = None
    loading: Load | None = None
    kept_bytes: int = 0  # of host memory, for the copy that the load under way leaves there
    copying: Copy | None = None
    asked_again: float = math.inf

    def __post_init__(self) -> None:
        self.now = self.requests[0].t
        self.starts = [math.nan] * len(self.requests)
        self.memory = Memory(costs=self.experts, device_bytes=self.device_bytes, host_bytes=self.host_bytes)
        announced = [(known.announced, known.expert, known.t) for known in self.requests if known.announced is not None]
        self.to_announce = deque(sorted(announced))

    def run(self) -> Run:
        left = len(self.requests)
        device_free = math.inf
        while True:
            if self.now >= device_free:
                left -= self._finish_on_device()
                if not left:
                    break
                device_free = math.inf
            self._finish_copy()
            self._admit()
            if self.copying is None and self.host_bytes:
                self._prefetch()
                self._finish_copy()  # where it takes no time
            if device_free == math.inf:
                device_free = self._act()
            self.now = self._next_event(device_free)
        return Run(
            requests=self.requests, starts=self.starts, loads=self.loads, copies=self.copies, dropped=self.dropped
        )

    def _next_event(self, device_free: float) -> float:
        """When something changes next: an arrival, an end, or what the policy waits for."""
        following = device_free if device_free < math.inf else self.asked_again
        if self.arrived < len(self.requests):
            following = min(following, self.requests[self.arrived].t)
        if self.to_announce:
            following = min(following, max(self.now, self.to_announce[0][0]))
        if self.copying is not None:
            following = min(following, self.copying.end)
        if following == math.inf:
            raise RuntimeError(f"{type(self.policy).__name__} waits for nothing while requests wait")
        return following

    def _admit(self) -> None:
        memory, count = self.memory, len(self.requests)
        while self.to_announce and self.to_announce[0][0] <= self.now:
            _, name, until = self.to_announce.popleft()
            memory.expected[name] = Expected(1.0, until)
        while self.arrived < count and self.requests[self.arrived].t <= self.now:
            request = self.requests[self.arrived]
            memory.queues.setdefault(request.expert, deque()).append(request.t)
            self.waiting.setdefault(request.expert, deque()).append(self.arrived)
            self.policy.arrived(request.expert, request.t)
            self.arrived += 1

    def _act(self) -> float:
        """Does what the policy chooses on the idle device; when the device is free again, never where it stays so."""
        choice = self.policy.choose(self.memory, self.now)
        match choice:
            case Serve(name):
                return self._serve(name)
            case Swap(name, evict):
                return self._swap(name, evict)
            case Wait(until):
                if until <= self.now:
                    raise RuntimeError(f"{type(self.policy).__name__} waits until {until}, which is past")
                self.asked_again = until
                return math.inf

    def _serve(self, name: str) -> float:
        memory = self.memory
        del memory.resident[name]  # raises where it is not: a policy must not serve it
        memory.resident[name] = self.now
        index = self.waiting[name].popleft()
        memory.queues[name].popleft()
        if not memory.queues[name]:
            del memory.queues[name]
        if name in memory.host:
            del memory.host[name]
            memory.host[name] = self.now
        self.starts[index] = self.now
        memory.running[name] = 1
        memory.full.add(name)
        service_s = self.requests[index].service_s
        self.serving = (name, service_s)
        return self.now + service_s

    def _swap(self, name: str, evict: tuple[str, ...]) -> float:
        memory, cost = self.memory, self.experts[name]
        if self.copying is not None and self.copying.name == name:
            self.copying = None  # its copy takes longer than the policy thought, and is given up
        tier = memory.tier(name)
        for other in evict:
            del memory.resident[other]
        held = sum(self.experts[other].size for other in memory.resident) + cost.size
        if tier == "device" or held > self.device_bytes:
            raise RuntimeError(f"{type(self.policy).__name__} loads {name!r}: no room, or it is there")
        kept = tier == "disk" and self._make_room(cost.size)
        self.kept_bytes = cost.size if kept else 0
        self.loading = Load(name, tier, self.now, self.now + cost.load_s[tier], evict, kept)
        return self.loading.end

    def _finish_on_device(self) -> int:
        """Ends what was under way on the device: how many services, 0 or 1."""
        if self.loading is not None:
            load, self.loading = self.loading, None
            self.loads.append(load)
            self.memory.resident[load.name] = self.now
            if load.kept:
                self.memory.host[load.name] = self.now
                self.kept_bytes = 0
            self.policy.loaded(load.name, self.now)
            return 0
        if self.serving is None:
            return 0
        (name, service_s), self.serving = self.serving, None
        self.memory.running.clear()
        self.memory.full.clear()
        self.policy.ended(name, service_s, self.now)
        return 1

    def _prefetch(self) -> None:
        name = self.policy.prefetch(self.memory, self.now)
        if name is None or name in self.memory.host or (self.loading is not None and self.loading.name == name):
            return
        cost = self.experts[name]
        if self._make_room(cost.size):
            self.copying = Copy(name, self.now, self.now + cost.load_s["disk"] - cost.load_s["host"])

    def _finish_copy(self) -> None:
        if self.copying is not None and self.copying.end <= self.now:
            copy, self.copying = self.copying, None
            self.copies.append(copy)
            self.memory.host[copy.name] = self.now

    def _make_room(self, size: int) -> bool:
        """Drops copies in the policy's order until `size` fits host memory; where it cannot, none, and says False."""
        free, leaving = self._host_free(), []
        if free < size:
            for name in self.policy.leaves_host(self.memory, self.now):
                if self.loading is not None and self.loading.name == name:
                    continue
                leaving.append(name)
                free += self.experts[name].size
                if free >= size:
                    break
        if free < size:
            return False
        for name in leaving:
            del self.memory.host[name]
            self.dropped.append(Dropped(name, self.now))
        return True

    def _host_free(self) -> int:
        """Bytes of host memory that neither a copy holds nor one under way will take."""
        held = sum(self.experts[name].size for name in self.memory.host) + self.kept_bytes
        return self.host_bytes - held - (self.experts[self.copying.name].size if self.copying is not None else 0)
