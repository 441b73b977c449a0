"""The least seconds of loading of all schedules of a small trace, by search.

In: requests, experts, budgets and a maximum wait. Out: seconds, or None where the search grew too large or no schedule
keeps the maximum wait. The schedules are those of `workers.simulator.run`'s rules with the whole trace known from the
first arrival on: any order of services within the maximum wait, also among requests for one expert; any loads,
evictions, copies ahead and dropped copies; the device may stay idle although requests wait.

Every such schedule can be shifted to the left until each step begins where another ends or a request arrives, without
loading more or waiting longer, so the search branches there only. It is A* over states; those that are nowhere behind
another with the same memory and the same requests served are left out.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, count

from workers.policies import Cost
from workers.simulator.trace import Request

_EPSILON = 1e-9
MAX_REQUESTS = 10
MAX_EXPERTS = 5
MAX_STATES = 30_000

Names = frozenset[str]


@dataclass(frozen=True, slots=True)
class _State:
    """Of device and memory at `now`. `free_at`: when the device is; what it loads until then becomes resident."""

    now: float
    served: int  # a bit for each request
    device: Names
    host: Names
    free_at: float
    loading: str | None = None
    keeps_copy: bool = False
    copying: str | None = None
    copied_at: float = 0.0
    seconds: float = 0.0

    @property
    def alike(self) -> tuple[object, ...]:
        """States that agree in this differ in times and seconds only."""
        return (self.served, self.device, self.host, self.loading, self.keeps_copy, self.copying)

    @property
    def times(self) -> tuple[float, float, float, float]:
        return (self.seconds, self.now, self.free_at, self.copied_at)


def least_load_seconds(
    requests: Sequence[Request],
    experts: Mapping[str, Cost],
    *,
    device_bytes: int,
    host_bytes: int,
    max_wait_s: float,
    max_states: int = MAX_STATES,
) -> float | None:
    """The optimum in seconds; None where it was not found within `max_states` states."""
    if len(requests) > MAX_REQUESTS or len({request.expert for request in requests}) > MAX_EXPERTS:
        return None
    search = _Search(requests, experts, device_bytes, host_bytes, max_wait_s)
    order = count()
    first = _State(now=requests[0].t, served=0, device=frozenset(), host=frozenset(), free_at=requests[0].t)
    heap = [(search.at_least(first), next(order), first)]
    seen: dict[tuple[object, ...], list[tuple[float, ...]]] = {}
    for _ in range(max_states):
        if not heap:
            return None
        _, _, state = heapq.heappop(heap)
        if state.served == search.all_served:
            return state.seconds
        for following in search.following(state):
            front = seen.setdefault(following.alike, [])
            times = following.times
            waits = following.alike == state.alike  # which is behind the state that it comes from, and needed
            if not waits and any(all(a <= b for a, b in zip(other, times, strict=True)) for other in front):
                continue
            if not waits:
                front[:] = [other for other in front if not all(b <= a for a, b in zip(other, times, strict=True))]
                front.append(times)
            heapq.heappush(heap, (search.at_least(following), next(order), following))
    return None


@dataclass(frozen=True, slots=True)
class _Search:
    requests: Sequence[Request]
    experts: Mapping[str, Cost]
    device_bytes: int
    host_bytes: int
    max_wait_s: float

    @property
    def all_served(self) -> int:
        return (1 << len(self.requests)) - 1

    def at_least(self, state: _State) -> float:
        """Seconds of loading that `state` leads to at least: each expert still asked for comes in once."""
        missing = self._asked_for(state) - state.device - {state.loading}
        return state.seconds + sum(self.experts[name].load_s["host"] for name in missing)

    def following(self, state: _State) -> Iterator[_State]:
        """States at the next event after each thing that can be begun now, if nobody has then waited too long."""
        for acted in self._device_steps(state) if state.free_at <= state.now else (state,):
            for begun in self._copy_steps(acted):
                at_once = acted is not state and acted.free_at <= state.now
                moved = self._advanced(begun, at_once=at_once)
                if moved is not None and self._in_time(moved):
                    yield moved

    def _device_steps(self, state: _State) -> Iterator[_State]:
        yield state  # idle
        asked = self._asked_for(state)
        for index, request in enumerate(self.requests):
            if not state.served >> index & 1 and request.t <= state.now and request.expert in state.device:
                yield replace(state, served=state.served | 1 << index, free_at=state.now + request.service_s)
        for name in asked - state.device - {state.copying}:
            cost = self.experts[name]
            for evicted in self._leaving(state.device, self.device_bytes, cost.size):
                loading = replace(state, device=state.device - evicted, loading=name)
                if name in state.host:
                    yield self._loaded(loading, cost.load_s["host"])
                    continue
                yield self._loaded(loading, cost.load_s["disk"])
                for dropped in self._leaving(state.host, self._host_room(state), cost.size):
                    kept = replace(loading, host=state.host - dropped, keeps_copy=True)
                    yield self._loaded(kept, cost.load_s["disk"])

    @staticmethod
    def _loaded(state: _State, seconds: float) -> _State:
        return replace(state, free_at=state.now + seconds, seconds=state.seconds + seconds)

    def _copy_steps(self, state: _State) -> Iterator[_State]:
        yield state
        if state.copying is not None:
            return
        for name in self._asked_for(state) - state.host - {state.loading}:
            cost = self.experts[name].load_s
            droppable = state.host - {state.loading}
            room = self._host_room(state) - self._size(state.host - droppable)
            for dropped in self._leaving(droppable, room, self.experts[name].size):
                ends = state.now + cost["disk"] - cost["host"]
                yield replace(state, host=state.host - dropped, copying=name, copied_at=ends)

    def _host_room(self, state: _State) -> int:
        """Bytes of host memory less those promised to what is under way."""
        promised = {state.copying} | ({state.loading} if state.keeps_copy else set())
        return self.host_bytes - self._size(name for name in promised if name is not None)

    def _advanced(self, state: _State, *, at_once: bool) -> _State | None:
        """At the next event; None where there is none, as when the device idles for good.

        `at_once`: what was begun on the device takes no time.
        """
        events = [request.t for request in self.requests if request.t > state.now]
        if state.served == self.all_served:
            return state
        events += [state.free_at] if state.free_at > state.now else []
        events += [state.copied_at] if state.copying is not None else []
        events += [state.now] if at_once else []
        if not events:
            return None
        now = max(state.now, min(events))
        if state.copying is not None and state.copied_at <= now:
            state = replace(state, host=state.host | {state.copying}, copying=None, copied_at=0.0)
        if state.free_at <= now and state.loading is not None:
            host = state.host | {state.loading} if state.keeps_copy else state.host
            state = replace(state, device=state.device | {state.loading}, host=host, loading=None, keeps_copy=False)
        return replace(state, now=now)

    def _in_time(self, state: _State) -> bool:
        """Whether every request can still start within the maximum wait."""
        for index, request in enumerate(self.requests):
            if state.served >> index & 1:
                continue
            ready = max(state.now, state.free_at, request.t)
            if request.expert not in state.device and request.expert != state.loading:
                ready = max(state.now, state.free_at) + self.experts[request.expert].load_s["host"]
            if ready > request.t + self.max_wait_s + _EPSILON:
                return False
        return True

    def _asked_for(self, state: _State) -> Names:
        return frozenset(request.expert for index, request in enumerate(self.requests) if not state.served >> index & 1)

    def _leaving(self, held: Names, room: int, size: int) -> Iterator[Names]:
        """The smallest sets that have to leave `held` so that `size` fits into `room`; none where it cannot."""
        found: list[Names] = []
        for number in range(len(held) + 1):
            for chosen in map(frozenset, combinations(sorted(held), number)):
                if any(smaller <= chosen for smaller in found):
                    continue
                if self._size(held - chosen) + size <= room:
                    found.append(chosen)
                    yield chosen

    def _size(self, names: Iterator[str] | Names) -> int:
        return sum(self.experts[name].size for name in names)
