"""The requests of one worker: who runs and who waits goes in, whose turn it is comes out.

They wait by the weights that they need, in the order of their coming, and run by expert, at most `max_running` of each.
What policies see of them is kept in `Memory` here: its queues, what runs, what is full, and the order of last use.
"""

import asyncio
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from workers.policies import Memory

_SHARE_OF_LAST = 0.2  # of the newest duration in the moving average


@dataclass(slots=True, eq=False)
class Waiting:
    """A request that waits for its turn since `since`. `turn` is set when it may run, or fails when it never will."""

    expert: str
    since: float
    turn: "asyncio.Future[None]"


@dataclass(slots=True)
class Load:
    """Of one expert: its requests now, and how long one takes in the mean."""

    running: int = 0
    waiting: int = 0
    mean_s: float = 1.0


class Queues:
    """`homes`: the weights, by name, that each expert needs."""

    def __init__(self, memory: Memory, homes: Mapping[str, str], max_running: int) -> None:
        self._memory = memory
        self._homes = homes
        self._max_running = max_running
        self._loads = {expert: Load() for expert in homes}
        self._queues: dict[str, deque[Waiting]] = {}

    def load(self, expert: str) -> Load:
        return self._loads[expert]

    @property
    def busy(self) -> bool:
        return any(load.running or load.waiting for load in self._loads.values())

    @property
    def names(self) -> list[str]:
        """The weights that somebody waits for."""
        return list(self._queues)

    def waiting_for(self, name: str) -> list[Waiting]:
        """Who waits for these weights, the oldest first."""
        return list(self._queues.get(name, ()))

    def count_of_others(self, name: str) -> int:
        """How many wait for other weights."""
        return sum(len(queue) for other, queue in self._queues.items() if other != name)

    def has_room(self, expert: str) -> bool:
        return self._loads[expert].running < self._max_running

    def next_for(self, name: str) -> Waiting | None:
        """The oldest that waits for these weights and whose expert has room."""
        return next((waiting for waiting in self._queues.get(name, ()) if self.has_room(waiting.expert)), None)

    def add(self, waiting: Waiting) -> None:
        name = self._homes[waiting.expert]
        self._queues.setdefault(name, deque()).append(waiting)
        self._memory.queues.setdefault(name, deque()).append(waiting.since)
        self._loads[waiting.expert].waiting += 1
        self._note_full(name)

    def remove(self, waiting: Waiting) -> None:
        """Does nothing where it does not wait any more."""
        name = self._homes[waiting.expert]
        queue = self._queues.get(name)
        if queue is None or waiting not in queue:
            return
        queue.remove(waiting)
        self._memory.queues[name].remove(waiting.since)
        if not queue:
            del self._queues[name]
            del self._memory.queues[name]
        self._loads[waiting.expert].waiting -= 1
        self._note_full(name)

    def begin(self, expert: str, now: float) -> None:
        """A request of the expert runs from now on."""
        name, running = self._homes[expert], self._memory.running
        self._loads[expert].running += 1
        running[name] = running.get(name, 0) + 1
        self._note_use(name, now)
        self._note_full(name)

    def end(self, expert: str, now: float, seconds: float | None) -> None:
        """A request of the expert has ended; `seconds` that it took, None where it never began."""
        name, load, running = self._homes[expert], self._loads[expert], self._memory.running
        if seconds is not None:
            load.mean_s += _SHARE_OF_LAST * (seconds - load.mean_s)
        load.running -= 1
        running[name] -= 1
        if not running[name]:
            del running[name]
        self._note_use(name, now)
        self._note_full(name)

    def _note_use(self, name: str, now: float) -> None:
        """The order of what is resident, and of the copies in host memory, is that of the last use."""
        for known in (self._memory.resident, self._memory.host):
            if known.pop(name, None) is not None:
                known[name] = now

    def _note_full(self, name: str) -> None:
        if name in self._queues and self.next_for(name) is None:
            self._memory.full.add(name)
        else:
            self._memory.full.discard(name)
