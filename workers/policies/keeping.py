"""What stays in which memory: what is where and what waits comes in, what leaves and what is copied ahead goes out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workers.policies.demand import Demand
from workers.policies.interface import Memory
from workers.reports import Tier


@dataclass(frozen=True, slots=True)
class Keeping:
    """Keeps what is dear to load and often asked for.

    What leaves the device: nothing that requests wait for, if that can be; of those, the one with the youngest head.
    Before them goes what requests are only announced for. Else the least of demand x load seconds from the tier that it
    would fall to, per byte: GreedyDual-Size-Frequency (Cherkasova, HPL-98-69R1) with a demand that ages by itself in
    place of the inflation term. Host memory is kept by the same value.
    """

    demand: Demand

    def evicted_for(self, memory: Memory, name: str, now: float) -> tuple[str, ...] | None:
        """Who leaves for `name`: those of least value per byte, and no more of them than needed."""
        costs, queues = memory.costs, memory.queues
        values = {other: self._value(memory, other, now) for other in memory.resident if other not in memory.pinned}
        idle = [other for other in values if other not in queues]
        idle.sort(key=lambda other: (memory.is_expected(other, now), values[other] / costs[other].size))
        waiting = sorted((other for other in values if other in queues), key=lambda other: -queues[other][0])
        evicted = memory.evicted_for(name, [*idle, *waiting])
        if evicted is None or len(evicted) < 2 or memory.groups:
            return evicted
        spare = memory.device_bytes - costs[name].size - sum(costs[other].size for other in memory.resident)
        spare += sum(costs[other].size for other in evicted)
        needed = []
        for other in reversed(evicted):
            if costs[other].size <= spare:
                spare -= costs[other].size
            else:
                needed.append(other)
        missing = sum(costs[other].size for other in needed) - spare
        apart = (other for other in idle if costs[other].size >= missing and not memory.is_expected(other, now))
        alone = min(apart, key=values.__getitem__, default=None)
        if alone is not None and values[alone] <= sum(values[other] for other in needed):
            return (alone,)
        return tuple(reversed(needed))

    def _value(self, memory: Memory, name: str, now: float) -> float:
        """Seconds of loading a second that keeping `name` on the device saves."""
        tier: Tier = "host" if name in memory.host else "disk"
        return self.demand.rate(name, now) * memory.costs[name].load_s[tier]

    def leaves_host(self, memory: Memory, now: float) -> list[str]:
        """What is safe on the device; what nobody waits for, the least valuable first; what waits, the latest first."""
        safe = set(memory.resident)
        if safe:
            safe.remove(min(safe, key=lambda name: (self._value(memory, name, now) / memory.costs[name].size, name)))
        order: list[tuple[int, float, str]] = []
        for name in memory.host:
            if name in safe:
                order.append((0, 0.0, name))
            elif name in memory.queues and name not in memory.resident:
                order.append((2, -memory.queues[name][0], name))
            else:
                order.append((1, self._host_value(memory, name, now), name))
        return [name for _, _, name in sorted(order)]

    def _host_value(self, memory: Memory, name: str, now: float) -> float:
        """Seconds of loading a second and byte that a copy of `name` in host memory saves."""
        cost = memory.costs[name]
        return self.demand.rate(name, now) * (cost.load_s["disk"] - cost.load_s["host"]) / cost.size

    def copied_ahead(self, memory: Memory, now: float) -> str | None:
        """What waits and is on disk alone, the oldest head first; else, while there is room, what is asked for most."""
        if len(memory.host) == len(memory.costs):
            return None
        free = memory.host_bytes - sum(memory.costs[name].size for name in memory.host)
        return self._queued_on_disk(memory, free) or self._fits_host(memory, now, free)

    @staticmethod
    def _queued_on_disk(memory: Memory, free: int) -> str | None:
        """The oldest head, unless only copies that are waited for longer could make room."""
        found, oldest = None, math.inf
        for name, queue in memory.queues.items():
            if queue[0] < oldest and memory.tier(name) == "disk" and memory.may_come_to_host(name):
                found, oldest = name, queue[0]
        if found is None or memory.costs[found].size <= free:
            return found
        for name in memory.host:
            if name in memory.resident or name not in memory.queues or memory.queues[name][0] > oldest:
                free += memory.costs[name].size
        return found if memory.costs[found].size <= free else None

    def _fits_host(self, memory: Memory, now: float, free: int) -> str | None:
        there = memory.host.keys() | memory.disk_only
        fitting = [name for name, cost in memory.costs.items() if cost.size <= free and name not in there]
        return max(fitting, key=lambda name: self._host_value(memory, name, now), default=None)
