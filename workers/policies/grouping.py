"""The default policy: requests for an expert wait for each other, and no longer than a maximum wait.

In comes what is where, what waits and since when; out comes what to serve, and what to swap when.

Every load that a request waits for serves all that wait for the same expert, so the later a load, the fewer loads.
The policy therefore serves what is resident and brings in the next expert when (a) there is room for it that nobody
needs, (b) the waiting that its queue has added up outweighs the load, `patience` seconds of waiting for one of loading
(the rule for acknowledging packets of Dooly, Goldman and Scott, JACM 2001: ski rental), or (c) somebody would
otherwise wait longer than `max_wait_s`: a plan that serves the queues by the age of their heads is kept feasible, and
while it is feasible nobody waits longer. Where it cannot be, the oldest head goes first, queue by queue, so that
overload makes waits long but starves nobody and does not turn into one load per request.

While nothing waits, what a request is announced for comes in ahead of it: into room that nobody needs, and where the
request is likely enough also in the place of what is idle and not announced itself.
"""

from __future__ import annotations

import math
from collections import deque

from typing_extensions import override

from workers.policies.demand import Demand
from workers.policies.interface import Choice, Memory, Policy, Serve, Swap, Wait
from workers.policies.keeping import Keeping

_SMOOTHING = 0.05  # weight of the latest service in the running mean of their seconds
_FORGETTING = 0.001  # of the longest service, with each other one
_DEVIATIONS = 2.0  # above its mean that a plan of services is allowed to take
_HALF_LIVES = 5.0  # of demand, in maximum waits
_BACKLOG = 0.4  # of the maximum wait; work beyond it is done before it is due, and the device does not idle
_INSTANT = 1e-6


class Grouping(Policy):
    """Groups requests by expert within a maximum wait; what stays where is `Keeping`'s.

    Args:
        max_wait_s: seconds that no request shall wait longer for its service.
        patience: seconds of waiting, added up over a queue, that are accepted to save one second of loading. 0 loads
            as soon as the device has nothing else to do, infinity when the maximum wait or a backlog asks for it.
        quantum_s: seconds for which what was loaded is served, where it is asked for, before a load that only saves
            waiting; infinity: as long as something resident is asked for.
        max_swaps_per_minute: of loads that only save waiting; the maximum wait goes before it. None: any number.
        slots: requests of one expert that run at once.
        idles: whether a device on which nothing runs waits for more requests, too, before it loads.
        ahead_from: probability of an announced request from which its load ahead may evict; above 1 it never may.
    """

    def __init__(
        self,
        max_wait_s: float,
        *,
        patience: float = math.inf,
        quantum_s: float = math.inf,
        max_swaps_per_minute: int | None = None,
        slots: int = 1,
        idles: bool = True,
        ahead_from: float = 0.8,
    ) -> None:
        if not max_wait_s > 0:
            raise ValueError(f"the maximum wait must be above 0 s, not {max_wait_s}")
        self._max_wait_s = max_wait_s
        self._patience = patience
        self._quantum_s = quantum_s
        self._max_swaps = max_swaps_per_minute
        self._slots = slots
        self._idles = idles
        self._ahead_from = ahead_from
        self._always_waits = idles and patience == math.inf  # so that nothing but time makes a load pay
        self._keeping = Keeping(Demand(_HALF_LIVES * max_wait_s))
        self._service_s = self._service_var = self._service_max = 0.0
        self._swaps: deque[float] = deque(maxlen=max_swaps_per_minute)
        self._group: str | None = None
        self._filled = False  # whether the device was ever full
        self._group_left = 0
        self._loaded_at = -math.inf
        self._calm_until = -math.inf  # before it nobody comes near the maximum wait
        self._weighed_until = -math.inf  # before it no load pays
        self._copying: tuple[str, float] | None = None
        self._copies_ahead = False

    @override
    def arrived(self, name: str, now: float) -> None:
        self._keeping.demand.arrived(name, now)
        self._calm_until -= self._service_s
        self._weighed_until = self._weighed_until - self._service_s if self._always_waits else -math.inf

    @override
    def ended(self, name: str, service_s: float, now: float) -> None:
        weight = _SMOOTHING if self._service_max else 1.0
        off = service_s - self._service_s
        self._service_s += weight * off
        self._service_var = (1 - weight) * (self._service_var + weight * off * off)
        self._service_max = max(service_s, self._service_max * (1 - _FORGETTING))
        if not self._idles:
            self._weighed_until = -math.inf

    @override
    def loaded(self, name: str, now: float) -> None:
        self._group, self._group_left, self._loaded_at = name, -1, now
        self._calm_until = self._weighed_until = -math.inf

    @override
    def choose(self, memory: Memory, now: float) -> Choice:
        if not memory.queues:
            return self._ahead(memory, now)
        if self._group_left < 0:
            self._group_left = len(memory.queues.get(self._group or "", ()))
        ready = self._ready(memory)
        if ready is None:
            until = min(self._calm_until, self._weighed_until)
            return Wait(until) if now < until else self._look_ahead(memory, now, ready)
        weighs_at = max(self._loaded_at + self._quantum_s, self._weighed_until)
        if now + self._service_max < self._calm_until and now < weighs_at:
            return self._serve(ready)
        return self._look_ahead(memory, now, ready)

    def _ready(self, memory: Memory) -> str | None:
        """The resident whose head is the oldest of those that can be let in."""
        ready, oldest = None, math.inf
        for name in memory.resident:
            queue = memory.queues.get(name)
            if queue is not None and queue[0] < oldest and name not in memory.full:
                ready, oldest = name, queue[0]
        return ready

    def _serve(self, name: str) -> Serve:
        if name == self._group and self._group_left > 0:
            self._group_left -= 1
        return Serve(name)

    def _look_ahead(self, memory: Memory, now: float, ready: str | None) -> Choice:
        heads = sorted((queue[0], name) for name, queue in memory.queues.items())
        slack, work = self._plan(memory, heads)
        urgent = now + (self._service_max if ready is not None else 0.0) >= slack
        choice = self._urgent(memory, now, heads, ready) if urgent else None
        if choice is not None:
            return choice
        if urgent:  # but nothing can be done now
            self._calm_until = self._weighed_until = -math.inf
            if ready is not None:
                return self._serve(ready)
            return Wait(self._copying[1]) if self._copying is not None and self._copying[1] > now else Wait()
        self._calm_until = min(slack, now + self._max_wait_s / 8)
        self._weighed_until = self._calm_until if self._always_waits else -math.inf
        if ready is None or now >= self._loaded_at + self._quantum_s:
            self._weighed_until = self._calm_until
            choice = self._worth(memory, now, heads, work)
            if choice is not None:
                return choice
        if ready is not None:
            return self._serve(ready)
        until = min(self._calm_until, self._weighed_until)
        return Wait(until if until > now else now + _INSTANT)

    def _plan(self, memory: Memory, heads: list[tuple[float, str]]) -> tuple[float, float]:
        """The latest start of a plan that serves queue by queue, the oldest head first, and the seconds it takes."""
        resident, host, costs, queues = memory.resident, memory.host, memory.costs, memory.queues
        hold_s, longest = self._hold_s, self._service_max - self._service_s
        slack, work, count = math.inf, 0.0, 0
        deviation, service_s, slots = _DEVIATIONS * math.sqrt(self._service_var), self._service_s, self._slots
        for head, name in heads:
            load_s = 0.0 if name in resident else costs[name].load_s["host" if name in host else "disk"]
            start_by = head + hold_s - work - load_s
            if count:
                spread = deviation * math.sqrt(count)
                start_by -= max(longest, spread)
            slack = min(slack, start_by)
            services = -(-len(queues[name]) // slots)
            work += load_s + services * service_s
            count += services
        return slack, work

    def _urgent(self, memory: Memory, now: float, heads: list[tuple[float, str]], ready: str | None) -> Choice | None:
        """The next step of the plan; the queue that is being served comes first. None: nothing can be done now."""
        group, (head, first) = self._group, heads[0]
        if group is not None and self._group_left > 0 and self._can_enter(memory, group):
            load_s = memory.load_s(first)
            early = now + self._service_max < head + self._hold_s - load_s
            if early or now > head + self._max_wait_s - load_s:
                return self._serve(group)
        for _, name in heads:
            if self._can_enter(memory, name):
                self._group, self._group_left = name, len(memory.queues[name])
                return self._serve(name)
            if self._on_its_way(memory, name, now):
                return self._serve(ready) if ready is not None else None
            if name not in memory.resident:
                swap = self._swap(memory, name, now)
                if swap is not None:
                    return swap
        return None

    @property
    def _hold_s(self) -> float:
        """The maximum wait less a margin for services that take longer than expected."""
        return self._max_wait_s - min(self._max_wait_s / 20, self._max_wait_s / 100 + self._service_s)

    @staticmethod
    def _can_enter(memory: Memory, name: str) -> bool:
        return name in memory.resident and name in memory.queues and name not in memory.full

    def _worth(self, memory: Memory, now: float, heads: list[tuple[float, str]], work: float) -> Choice | None:
        """A load that pays, and None where none does. Sets when to look again."""
        filling = not self._filled
        free = memory.device_bytes - sum(memory.costs[name].size for name in memory.resident) if filling else 0
        behind = work > _BACKLOG * self._max_wait_s
        patience = self._patience if self._idles or memory.running else 0.0
        capped = self._capped(now)
        worth: list[tuple[float, str]] = []
        for _, name in heads:
            if name in memory.resident or self._comes_to_host(memory, name, now):
                continue
            queue, load_s = memory.queues[name], memory.load_s(name)
            waited, due = len(queue) * now - sum(queue), patience * load_s
            if memory.costs[name].size <= free or ((behind or waited >= due) and not capped):
                worth.append((waited / max(load_s, _INSTANT), name))
            elif due < math.inf:
                self._weighed_until = min(self._weighed_until, now + (due - waited) / len(queue))
        for _, name in sorted(worth, reverse=True):
            choice = self._swap(memory, name, now)
            if choice is not None:
                return choice
        return None

    def _ahead(self, memory: Memory, now: float) -> Choice:
        """Nothing waits: brings in what is expected, in the order in which it was announced."""
        for name, expected in memory.expected.items():
            if now >= expected.until or name in memory.resident or self._on_its_way(memory, name, now):
                continue
            evicted = self._keeping.evicted_for(memory, name, now)
            if evicted is None or (evicted and expected.probability < self._ahead_from):
                continue
            if any(other in memory.running or memory.is_expected(other, now) for other in evicted):
                continue
            return Wait(self._swaps[0] + 60) if self._capped(now) else self._begin(name, evicted, now)
        return Wait()

    def _capped(self, now: float) -> bool:
        if self._max_swaps is None:
            return False
        full = len(self._swaps) == self._max_swaps
        if full and now - self._swaps[0] < 60:
            self._weighed_until = min(self._weighed_until, self._swaps[0] + 60)
            return True
        return False

    def _comes_to_host(self, memory: Memory, name: str, now: float) -> bool:
        """Whether a copy from disk, under way or to come, will make the load cheaper."""
        if self._copying is not None and self._copying[1] > now:
            self._weighed_until = min(self._weighed_until, self._copying[1])
        return self._copies_ahead and name not in memory.host and memory.may_come_to_host(name)

    def _on_its_way(self, memory: Memory, name: str, now: float) -> bool:
        """Whether a copy of `name` from disk is under way, and due to end after `now`."""
        if self._copying is None or self._copying[0] != name or name in memory.host:
            return False
        return now < self._copying[1]

    def _swap(self, memory: Memory, name: str, now: float) -> Swap | None:
        """Brings `name` in; None where there can be no room for it now, or where it is on its way to host memory."""
        if self._on_its_way(memory, name, now):
            return None
        evicted = self._keeping.evicted_for(memory, name, now)
        return None if evicted is None else self._begin(name, evicted, now)

    def _begin(self, name: str, evicted: tuple[str, ...], now: float) -> Swap:
        self._swaps.append(now)
        self._filled = self._filled or bool(evicted)
        return Swap(name, evicted)

    @override
    def leaves_host(self, memory: Memory, now: float) -> list[str]:
        return self._keeping.leaves_host(memory, now)

    @override
    def prefetch(self, memory: Memory, now: float) -> str | None:
        self._copies_ahead = True
        name = self._keeping.copied_ahead(memory, now)
        if self._copying is not None and self._copying[0] != name and not self._always_waits:
            self._weighed_until = -math.inf  # the copy has come, sooner or later than it was due, or will not come
        if name is None:
            self._copying = None
        elif self._copying is None or self._copying[0] != name:
            cost = memory.costs[name].load_s
            self._copying = (name, now + cost["disk"] - cost["host"])
        return name
