"""Which requests run on one worker, and which wait: a request goes in, and comes out admitted or refused.

    slot(expert) ─▶ queue of its weights ─▶ Policy.choose ─▶ Serve: let in         at most `max_running` of an expert
                                                          ─▶ Swap: drain, load, and let in what waited for it

Everything happens on one event loop, at a request's coming and going, at the end of a swap, or when the policy asked
to be woken. A request whose weights are resident, with nobody waiting, is let in without a detour.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from workers.errors import NotResidentError, QueueFullError, QueueTimeoutError, WorkerError
from workers.policies import Policy, Serve, Swap, Wait
from workers.residency import Residency
from workers.spec import Tier

_SHARE_OF_LAST = 0.2  # of the newest duration in the moving average
_LONGEST_RETRY_S = 60.0
_RETRY_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Of each expert on one worker: requests that run at once, that wait beyond those, and how many seconds each may.

    Until its weights are resident, those that could run wait as well.
    """

    max_running: int
    max_queued: int
    queue_timeout_s: float


@dataclass(frozen=True, slots=True)
class Turn:
    """A request's place among the running.

    `tier` is where the request found its weights, and `swap_s` what it waited for them where that was not the device.
    """

    tier: Tier = "device"
    waited_s: float = 0.0
    swap_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Waiting:
    expert: str
    since: float
    turn: asyncio.Future[None]


@dataclass(slots=True)
class _Load:
    """Of one expert: its requests now, and how long one takes."""

    running: int = 0
    waiting: int = 0
    mean_s: float = 1.0


class Admission:
    """Lets requests in to the experts of one worker.

    Args:
        residency: of the weights below the experts.
        homes: the weights, by name, that each expert needs.
        policy: what to serve and to swap next.
        limits: of every expert.
        on_change: called after each change of what runs, waits or is resident.
    """

    def __init__(
        self,
        residency: Residency,
        homes: Mapping[str, str],
        policy: Policy,
        limits: Limits,
        *,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._residency = residency
        self._memory = residency.memory
        self._homes = homes
        self._policy = policy
        self._limits = limits
        self._on_change = on_change
        self._clock = clock
        self._loads = {expert: _Load() for expert in homes}
        self._queues: dict[str, deque[_Waiting]] = {}
        self._idle = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._closed = False

    def running(self, expert: str) -> int:
        return self._loads[expert].running

    def waiting(self, expert: str) -> int:
        return self._loads[expert].waiting

    @property
    def busy(self) -> bool:
        return any(load.running or load.waiting for load in self._loads.values())

    def room(self, expert: str) -> int:
        """How many more requests would run at once."""
        if not self._residency.admits(self._homes[expert]):
            return 0
        return max(0, self._limits.max_running - self._loads[expert].running - self._loads[expert].waiting)

    def expected_wait_s(self, expert: str) -> float:
        """How long a request that comes now would wait, as far as can be told: its queue's turns, and a swap."""
        load, memory, name = self._loads[expert], self._memory, self._homes[expert]
        turns = (load.running + load.waiting) // self._limits.max_running
        wait_s = turns * load.mean_s
        if name in memory.resident and name not in self._residency.leaving:
            return wait_s
        others = sum(len(queue) for other, queue in self._queues.items() if other != name)
        ahead_s = math.ceil(others / self._limits.max_running) * load.mean_s
        drain_s = load.mean_s if memory.running else 0.0
        return wait_s + ahead_s + drain_s + memory.load_s(name)

    @asynccontextmanager
    async def slot(self, expert: str) -> AsyncIterator[Turn]:
        """Hold a place among the running, on weights that stay resident as long.

        Raises `QueueFullError`, `QueueTimeoutError`, and `NotResidentError` where the weights could not be brought in.
        """
        turn = await self._enter(expert)
        began = self._clock()
        try:
            yield turn
        finally:
            load = self._loads[expert]
            load.mean_s += _SHARE_OF_LAST * (self._clock() - began - load.mean_s)
            self._leave(expert)

    async def close(self) -> None:
        """End what is under way; who waits is told so."""
        self._closed = True
        if self._alarm:
            self._alarm.cancel()
        if self._work:
            self._work.cancel()
            await asyncio.wait((self._work,))
        await self._residency.close()
        for name in list(self._queues):
            self.refuse(name, _stopped())

    async def put_away(self, name: str) -> bool:
        """Take weights off the device when what runs on them has ended; False where they are not there.

        Raises `WorkerError`. Requests that come meanwhile wait, and bring them back.
        """
        while self._work:
            await asyncio.wait((self._work,))
        outcome: list[bool] = []

        async def put_away() -> None:
            outcome.append(await self._residency.put_away(name, partial(self._drained, {name})))

        work = self._work = self._start(put_away())
        await asyncio.wait((work,))
        if work.cancelled():
            raise _stopped()
        work.result()
        return outcome[0]

    def refuse(self, name: str, error: WorkerError) -> None:
        """Let nobody wait for the weights `name` any longer: each gets `error`."""
        for waiting in list(self._queues.get(name, ())):
            if not waiting.turn.done():
                waiting.turn.set_exception(error)
            self._remove(waiting)

    def advance(self) -> None:
        """Do what the policy says until it says to wait. Call it after each change that is not this object's own."""
        if self._alarm:
            self._alarm.cancel()
            self._alarm = None
        while not self._closed:
            if self._work:
                self._serve_what_stays()
                return
            self._residency.prefetch()
            match self._policy.choose(self._memory, self._clock()):
                case Serve(name):
                    self._let_in(name)
                case Swap() as swap:
                    self._residency.announce(swap)
                    self._work = self._start(self._swap(swap))
                case Wait(until):
                    if until < math.inf:
                        delay_s = max(0.0, until - self._clock())
                        self._alarm = asyncio.get_running_loop().call_later(delay_s, self.advance)
                    return

    async def _enter(self, expert: str) -> Turn:
        name, load, now = self._homes[expert], self._loads[expert], self._clock()
        self._policy.arrived(name, now)
        tier = self._memory.tier(name)
        ready = self._residency.admits(name)
        if ready and not self._queues and load.running < self._limits.max_running:
            self._note_running(expert)
            return Turn()
        waiting = _Waiting(expert, now, asyncio.get_running_loop().create_future())
        self._add(waiting)
        self.advance()
        if not waiting.turn.done() and load.running + load.waiting > self._limits.max_running + self._limits.max_queued:
            self._remove(waiting)
            raise QueueFullError(
                f"{load.running} requests run and {load.waiting} wait for expert `{expert}`, which is as many as may: "
                "try again later",
                self._retry_after_s(expert),
            )
        await self._turn_of(waiting)
        waited_s = self._clock() - now
        return Turn(tier, waited_s, 0.0 if ready else waited_s)

    async def _turn_of(self, waiting: _Waiting) -> None:
        timeout_s = self._limits.queue_timeout_s
        try:
            async with asyncio.timeout(timeout_s):
                await waiting.turn
        except TimeoutError as error:
            self._give_up(waiting)
            raise QueueTimeoutError(
                f"the request waited {timeout_s:g} s for expert `{waiting.expert}`: try again later",
                self._retry_after_s(waiting.expert),
            ) from error
        except asyncio.CancelledError:
            self._give_up(waiting)
            raise

    def _give_up(self, waiting: _Waiting) -> None:
        turn = waiting.turn
        if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came in the same moment
            self._leave(waiting.expert)
            return
        self._remove(waiting)
        self.advance()

    def _leave(self, expert: str) -> None:
        name, running = self._homes[expert], self._memory.running
        self._loads[expert].running -= 1
        running[name] -= 1
        if not running[name]:
            del running[name]
        self._note_use(name)
        self._note_full(name)
        if self._residency.leaving and not self._residency.leaving & running.keys():
            self._idle.set()
        self.advance()

    def _add(self, waiting: _Waiting) -> None:
        name = self._homes[waiting.expert]
        self._queues.setdefault(name, deque()).append(waiting)
        self._memory.queues.setdefault(name, deque()).append(waiting.since)
        self._loads[waiting.expert].waiting += 1
        self._note_full(name)

    def _remove(self, waiting: _Waiting) -> None:
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

    def _let_in(self, name: str) -> None:
        """The oldest that waits for the weights `name` and whose expert has room."""
        most = self._limits.max_running
        waiting = next(found for found in self._queues[name] if self._loads[found.expert].running < most)
        self._remove(waiting)
        if not waiting.turn.done():  # else it has given up and is about to leave
            self._note_running(waiting.expert)
            waiting.turn.set_result(None)

    def _note_running(self, expert: str) -> None:
        name, memory = self._homes[expert], self._memory
        self._loads[expert].running += 1
        memory.running[name] = memory.running.get(name, 0) + 1
        self._note_use(name)
        self._note_full(name)

    def _note_use(self, name: str) -> None:
        """The order of what is resident, and of the copies in host memory, is that of the last use."""
        for known in (self._memory.resident, self._memory.host):
            if known.pop(name, None) is not None:
                known[name] = self._clock()

    def _note_full(self, name: str) -> None:
        queue, most = self._queues.get(name, ()), self._limits.max_running
        if queue and all(self._loads[waiting.expert].running >= most for waiting in queue):
            self._memory.full.add(name)
        else:
            self._memory.full.discard(name)

    def _serve_what_stays(self) -> None:
        """While something leaves or comes, requests to what is resident all the same are let in, in order."""
        for name in list(self._queues):
            while name in self._queues and self._residency.admits(name) and name not in self._memory.full:
                self._let_in(name)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work, name="swap")
        task.add_done_callback(self._worked)
        return task

    def _worked(self, task: asyncio.Task[None]) -> None:
        self._work = None
        if not task.cancelled():
            task.exception()  # of a swap it was told to whom it concerns
        self.advance()
        self._on_change()

    async def _swap(self, swap: Swap) -> None:
        try:
            await self._residency.swap(swap, partial(self._drained, set(swap.evict)))
        except WorkerError as error:
            self.refuse(swap.name, NotResidentError(str(error), _RETRY_S))

    async def _drained(self, names: set[str]) -> None:
        """Returns when nothing runs on `names`."""
        while names & self._memory.running.keys():
            self._idle.clear()
            await self._idle.wait()

    def _retry_after_s(self, expert: str) -> float:
        load = self._loads[expert]
        turns = (load.waiting + 1) / max(1, self._limits.max_running)
        wait_s = max(turns * load.mean_s, self.expected_wait_s(expert))
        return float(min(_LONGEST_RETRY_S, max(1, math.ceil(wait_s))))


def _stopped() -> NotResidentError:
    return NotResidentError("the worker was stopped: ask another one", _RETRY_S)
