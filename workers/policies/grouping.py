"""The default policy: requests for an expert wait for each other, and no longer than a maximum wait.

In comes what is where, what waits and since when; out comes what to serve, to swap, to copy ahead and to drop.

Every load that a request waits for serves all that wait for the same expert, so the later a load, the fewer loads.
The policy therefore serves what is resident and brings in the next expert when (a) there is room for it that nobody
needs, (b) the waiting that its queue has added up outweighs the load, `patience` seconds of waiting for one of loading
(the rule for acknowledging packets of Dooly, Goldman and Scott, JACM 2001: ski rental), or (c) somebody would
otherwise wait longer than `max_wait_s`: a plan that serves the queues by the age of their heads is kept feasible, and
while it is feasible nobody waits longer. Where it cannot be, the oldest head goes first, queue by queue, so that
overload makes waits long but starves nobody and does not turn into one load per request.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from typing_extensions import override

from workers.policies.demand import Demand
from workers.policies.interface import Choice, Memory, Policy, Serve, Swap, Wait

_SMOOTHING = 0.05  # weight of the latest service in the running mean of their seconds
_DEVIATIONS = 2.0  # above its mean that a plan of services is allowed to take
_BUSIEST = 0.9  # share of the device that new arrivals are at most expected to take
_HALF_LIVES = 5.0  # of demand, in maximum waits
_MARGIN_S = 0.01  # for rounding
_INSTANT = 1e-6
KAPPA=0.
IDLE=.6
SAT=0.
FREE=False


class Grouping(Policy):
    """Groups requests by expert within a maximum wait, and keeps what is dear to load and often asked for.

    What leaves the device: nothing that requests wait for, if that can be; of those, the one with the youngest head.
    Else the least of rate x load seconds from the tier that it would fall to, per byte: GreedyDual-Size-Frequency
    (Cherkasova, HPL-98-69R1) with a rate that ages by itself in place of the inflation term. Host memory is kept by
    the same value.

    Args:
        max_wait_s: seconds that no request shall wait longer for its service.
        patience: seconds of waiting, added up over a queue, that are accepted to save one second of loading.
        quantum_s: seconds for which what was loaded is served before another load that only saves waiting.
        max_swaps_per_minute: of loads that only save waiting; the maximum wait goes before it. None: any number.
        slots: requests of one expert that run at once.
    """

    def __init__(
        self,
        max_wait_s: float,
        *,
        patience: float = math.inf,
        quantum_s: float = math.inf,
        max_swaps_per_minute: int | None = None,
        slots: int = 1,
    ) -> None:
        self._max_wait_s = max_wait_s
        self._patience = patience
        self._quantum_s = quantum_s
        self._max_swaps = max_swaps_per_minute
        self._slots = slots
        self._demand = Demand(_HALF_LIVES * max_wait_s)
        self._service_s = self._service_var = self._service_max = 0.0
        self._swaps: deque[float] = deque(maxlen=max_swaps_per_minute)
        self._group: str | None = None
        self._swaps2 = False
        self._group_left = 0
        self._loaded_at = -math.inf
        self._calm_until = -math.inf
        self._copying: tuple[str, float] | None = None
        self._copies_ahead = False

    @override
    def arrived(self, name: str, now: float) -> None:
        self._demand.arrived(name, now)
        self._calm_until -= self._service_s
        if self._patience < math.inf:  # one more that waits at most doubles the pace at which waiting adds up
            self._calm_until = min(self._calm_until, now + (self._calm_until - now) / 2)

    @override
    def ended(self, name: str, service_s: float, now: float) -> None:
        weight = _SMOOTHING if self._service_max else 1.0
        off = service_s - self._service_s
        self._service_s += weight * off
        self._service_var = (1 - weight) * (self._service_var + weight * off * off)
        self._service_max = max(service_s, self._service_max * (1 - _SMOOTHING / 5))

    @override
    def loaded(self, name: str, now: float) -> None:
        self._group, self._group_left, self._loaded_at = name, -1, now
        self._calm_until = -math.inf

    @override
    def choose(self, memory: Memory, now: float) -> Choice:
        if not memory.queues:
            return Wait()
        if self._group_left < 0:
            self._group_left = len(memory.queues.get(self._group or "", ()))
        ready = self._ready(memory)
        if now + (self._service_max if ready is not None else 0.0) < self._calm_until:
            return self._serve(ready) if ready is not None else Wait(self._calm_until)
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
        slack, work = self._plan(memory, heads, now)
        if now + (self._service_max if ready is not None else 0.0) >= slack:
            choice = self._urgent(memory, now, heads)
            if choice is not None:
                return choice
        self._calm_until = min(slack, now + self._max_wait_s / 8)
        if ready is not None and now < self._loaded_at + self._quantum_s:
            return self._serve(ready)
        choice = self._worth(memory, now, heads, work)
        if choice is not None:
            return choice
        return self._serve(ready) if ready is not None else Wait(max(self._calm_until, now + _INSTANT))

    def _plan(self, memory: Memory, heads: list[tuple[float, str]], now: float) -> tuple[float, float]:
        """The latest start of a plan that serves queue by queue, the oldest head first, and the seconds it takes."""
        resident, host, costs, queues = memory.resident, memory.host, memory.costs, memory.queues
        stretch = 1 / (1 - min(_BUSIEST, KAPPA * self._demand.total_rate(now) * self._service_s / self._slots))
        slack, work, count = math.inf, 0.0, 0
        for head, name in heads:
            load_s = 0.0 if name in resident else costs[name].load_s["host" if name in host else "disk"]
            spread = _DEVIATIONS * math.sqrt(self._service_var * count)
            slack = min(slack, head + self._hold_s() - work * stretch - spread - load_s)
            services = -(-len(queues[name]) // self._slots)
            work += load_s + services * self._service_s
            count += services
        return slack, work * stretch

    def _urgent(self, memory: Memory, now: float, heads: list[tuple[float, str]]) -> Choice | None:
        """The next step of the plan; the queue that is being served comes first. None: nothing can be done now."""
        group, (head, first) = self._group, heads[0]
        if group is not None and self._group_left > 0 and self._can_enter(memory, group):
            start_by = head + self._hold_s() - memory.load_s(first)
            if now > start_by or now + self._service_max < start_by:
                return self._serve(group)
        for _, name in heads:
            if self._can_enter(memory, name):
                self._group, self._group_left = name, len(memory.queues[name])
                return self._serve(name)
            if name not in memory.resident:
                choice = self._swap(memory, name, now)
                if choice is not None:
                    return choice
        return None

    def _hold_s(self) -> float:
        return self._max_wait_s - min(self._max_wait_s / 20, self._max_wait_s / 100 + self._service_s)

    @staticmethod
    def _can_enter(memory: Memory, name: str) -> bool:
        return name in memory.resident and name in memory.queues and name not in memory.full

    def _worth(self, memory: Memory, now: float, heads: list[tuple[float, str]], work: float) -> Choice | None:
        """A load that pays: into free room, or because of the waiting it ends. Sets when to look again."""
        best: list[tuple[float, str]] = []
        free = memory.device_bytes - sum(memory.costs[name].size for name in memory.resident)
        idle = work > self._max_wait_s * IDLE  # an idle device would make the backlog a danger to the maximum wait
        capped = self._capped(now)
        for _, name in heads:
            if name in memory.resident:
                continue
            if self._comes_to_host(memory, name):
                if self._copying is not None:
                    self._calm_until = min(self._calm_until, self._copying[1])
                continue
            queue, load_s = memory.queues[name], memory.load_s(name)
            waited = len(queue) * now - sum(queue)
            due = self._patience * load_s
            if (FREE and memory.costs[name].size <= free) or (not self._swaps2 and memory.costs[name].size <= free) or ((idle or waited >= due) and not capped):
                best.append((waited / max(load_s, _INSTANT), name))
            elif due < math.inf:
                self._calm_until = min(self._calm_until, now + (due - waited) / len(queue))
        for _, name in sorted(best, reverse=True):
            choice = self._swap(memory, name, now)
            if choice is not None:
                return choice
        return None

    def _capped(self, now: float) -> bool:
        if self._max_swaps is None:
            return False
        full = len(self._swaps) == self._max_swaps
        if full and now - self._swaps[0] < 60:
            self._calm_until = min(self._calm_until, self._swaps[0] + 60)
            return True
        return False

    def _comes_to_host(self, memory: Memory, name: str) -> bool:
        """Whether a copy from disk, under way or to come, will make the load cheaper."""
        return (
            self._copies_ahead
            and name not in memory.host
            and memory.costs[name].size <= memory.host_bytes
        )

    def _swap(self, memory: Memory, name: str, now: float) -> Choice | None:
        """Brings `name` in; None where there can be no room for it now."""
        if self._copying is not None and self._copying[0] == name and name not in memory.host:
            if now < self._copying[1]:
                return Wait(self._copying[1])
            self._copying = None
        evicted = self._evicted_for(memory, name, now)
        if evicted is None:
            return None
        self._swaps.append(now)
        self._swaps2 |= bool(evicted)
        return Swap(name, evicted)

    def _evicted_for(self, memory: Memory, name: str, now: float) -> tuple[str, ...] | None:
        costs, queues = memory.costs, memory.queues
        values = {other: self._value(memory, other, now) for other in memory.resident if other not in memory.pinned}
        idle = sorted((other for other in values if other not in queues), key=lambda other: values[other] / costs[other].size)
        waiting = sorted((other for other in values if other in queues), key=lambda other: -queues[other][0])
        evicted = memory.evicted_for(name, [*idle, *waiting])
        if not evicted:
            return evicted
        rivals = {other for other in evicted if any({name, other} <= group for group in memory.groups)}
        spare = memory.device_bytes - costs[name].size - sum(costs[other].size for other in memory.resident)
        spare += sum(costs[other].size for other in evicted)
        kept = set()
        for other in reversed(evicted):
            if costs[other].size <= spare and other not in rivals:
                kept.add(other)
                spare -= costs[other].size
        evicted = tuple(other for other in evicted if other not in kept)
        if rivals or any(other in queues for other in evicted):
            return evicted
        missing = sum(costs[other].size for other in evicted) - spare
        alone = min((other for other in idle if costs[other].size >= missing), key=lambda other: values[other], default=None)
        if alone is not None and values[alone] < sum(values[other] for other in evicted):
            return (alone,)
        return evicted

    def _value(self, memory: Memory, name: str, now: float) -> float:
        """Load seconds a second that keeping `name` on the device saves."""
        rate = self._demand.rate(name, now)
        return rate / (1 + SAT * rate * self._max_wait_s) * memory.costs[name].load_s["host" if name in memory.host else "disk"]

    @override
    def leaves_host(self, memory: Memory, now: float) -> list[str]:
        """What is on the device and stays there, then the least valuable; not what requests wait for."""
        waiting = (name for name in memory.host if name not in memory.queues or name in memory.resident)
        return sorted(waiting, key=lambda name: self._host_value(memory, name, now))

    def _host_value(self, memory: Memory, name: str, now: float) -> float:
        cost = memory.costs[name]
        return self._demand.rate(name, now) * (cost.load_s["disk"] - cost.load_s["host"]) / cost.size

    @override
    def prefetch(self, memory: Memory, now: float) -> str | None:
        """What waits and is on disk alone, the oldest head first; else, while there is room, what is asked for most."""
        self._copies_ahead = True
        name = self._queued_on_disk(memory) or self._fits_host(memory, now)
        self._copying = None
        if name is not None:
            cost = memory.costs[name].load_s
            self._copying = (name, now + cost["disk"] - cost["host"])
        return name

    @staticmethod
    def _queued_on_disk(memory: Memory) -> str | None:
        found, oldest = None, math.inf
        for name, queue in memory.queues.items():
            if queue[0] < oldest and memory.tier(name) == "disk" and memory.costs[name].size <= memory.host_bytes:
                found, oldest = name, queue[0]
        return found

    def _fits_host(self, memory: Memory, now: float) -> str | None:
        free = memory.host_bytes - sum(memory.costs[name].size for name in memory.host)
        fitting: Iterable[str] = (
            name for name, cost in memory.costs.items() if name not in memory.host and cost.size <= free
        )
        return max(fitting, key=lambda name: self._host_value(memory, name, now), default=None)
