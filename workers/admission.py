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
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from contextvars import Context
from dataclasses import dataclass
from functools import partial

from workers.errors import NotResidentError, QueueFullError, QueueTimeoutError, WorkerError
from workers.policies import Expected, Policy, Serve, Swap, Wait
from workers.queues import Queues, Waiting
from workers.reports import SwapReport, Tier
from workers.residency import Residency

_LONGEST_RETRY_S = 60.0
_RETRY_S = 5.0
_EXPECTED_S = 60.0  # from its announcement on; a request that comes later was not worth a place


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

    `tier` is where the request found its weights, and `swap_s` what it waited for them where that was not the device;
    `swap` is the one that brought them.
    """

    tier: Tier = "device"
    waited_s: float = 0.0
    swap_s: float = 0.0
    swap: SwapReport | None = None


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
        residency.on_fetched = self.advance  # somebody may wait for the copy
        self._memory = residency.memory
        self._homes = homes
        self._policy = policy
        self._limits = limits
        self._on_change = on_change
        self._clock = clock
        self._queues = Queues(residency.memory, homes, limits.max_running)
        self._idle = asyncio.Event()
        self._work: asyncio.Task[None] | None = None
        self._alarm: asyncio.TimerHandle | None = None
        self._closed = False

    def running(self, expert: str) -> int:
        return self._queues.load(expert).running

    def waiting(self, expert: str) -> int:
        return self._queues.load(expert).waiting

    @property
    def busy(self) -> bool:
        return self._queues.busy

    def room(self, expert: str) -> int:
        """How many more requests would run at once."""
        if not self._residency.admits(self._homes[expert]):
            return 0
        load = self._queues.load(expert)
        return max(0, self._limits.max_running - load.running - load.waiting)

    def expected_wait_s(self, expert: str) -> float:
        """How long a request that comes now would wait, as far as can be told: its queue's turns, and a swap."""
        load, memory, name = self._queues.load(expert), self._memory, self._homes[expert]
        turns = (load.running + load.waiting) // self._limits.max_running
        wait_s = turns * load.mean_s
        if self._residency.admits(name):
            return wait_s
        ahead_s = math.ceil(self._queues.count_of_others(name) / self._limits.max_running) * load.mean_s
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
            self._leave(expert, self._clock() - began)

    def expect(self, expert: str, probability: float) -> None:
        """A request to `expert` is likely to come soon: the policy may bring its weights in before it does."""
        name, memory = self._homes[expert], self._memory
        if name in memory.resident or name in memory.queues or name == self._residency.coming:
            return
        memory.expected[name] = Expected(probability, self._clock() + _EXPECTED_S)
        self.advance()

    async def close(self) -> None:
        """End what is under way; who waits is told so."""
        self._closed = True
        if self._alarm:
            self._alarm.cancel()
        if self._work:
            self._work.cancel()
            await asyncio.wait((self._work,))
        await self._residency.close()
        for name in self._queues.names:
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
        for waiting in self._queues.waiting_for(name):
            if not waiting.turn.done():
                waiting.turn.set_exception(error)
            self._queues.remove(waiting)

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
        name, load, now = self._homes[expert], self._queues.load(expert), self._clock()
        self._memory.expected.pop(name, None)
        self._policy.arrived(name, now)
        tier, swaps = self._memory.tier(name), self._residency.swaps
        ready = self._residency.admits(name)
        if ready and not self._queues.names and self._queues.has_room(expert):
            self._queues.begin(expert, now)
            return Turn()
        waiting = Waiting(expert, now, asyncio.get_running_loop().create_future())
        self._queues.add(waiting)
        self.advance()
        if not waiting.turn.done() and load.running + load.waiting > self._limits.max_running + self._limits.max_queued:
            self._queues.remove(waiting)
            raise QueueFullError(
                f"{load.running} requests run and {load.waiting} wait for expert `{expert}`, which is as many as may: "
                "try again later",
                self._retry_after_s(expert),
            )
        await self._turn_of(waiting)
        waited_s = self._clock() - now
        if ready:
            return Turn(tier, waited_s)
        return Turn(tier, waited_s, waited_s, self._residency.brought(name, after=swaps))

    async def _turn_of(self, waiting: Waiting) -> None:
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

    def _give_up(self, waiting: Waiting) -> None:
        turn = waiting.turn
        if turn.done() and not turn.cancelled() and turn.exception() is None:  # its turn came in the same moment
            self._leave(waiting.expert, None)
            return
        self._queues.remove(waiting)
        self.advance()

    def _leave(self, expert: str, seconds: float | None) -> None:
        now = self._clock()
        self._queues.end(expert, now, seconds)
        if seconds is not None:
            self._policy.ended(self._homes[expert], seconds, now)
        if self._residency.leaving and not self._residency.leaving & self._memory.running.keys():
            self._idle.set()
        self.advance()

    def _let_in(self, name: str) -> None:
        waiting = self._queues.next_for(name)
        assert waiting is not None, "policies do not serve what is full"
        self._queues.remove(waiting)
        if not waiting.turn.done():  # else it has given up and is about to leave
            self._queues.begin(waiting.expert, self._clock())
            waiting.turn.set_result(None)

    def _serve_what_stays(self) -> None:
        """While something leaves or comes, requests to what is resident all the same are let in, in order."""
        for name in filter(self._residency.admits, self._queues.names):
            while self._queues.next_for(name):
                self._let_in(name)

    def _start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        # The work of no request, whoever's coming or going set it off: its log lines are not to carry one's id.
        task = asyncio.create_task(work, name="swap", context=Context())
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
            self._memory.expected.pop(swap.name, None)  # or it would be tried again at once
            failed = self._residency.reports[-1]
            self.refuse(swap.name, NotResidentError(str(error), _RETRY_S, failed))

    async def _drained(self, names: set[str]) -> None:
        """Returns when nothing runs on `names`."""
        while names & self._memory.running.keys():
            self._idle.clear()
            await self._idle.wait()

    def _retry_after_s(self, expert: str) -> float:
        load = self._queues.load(expert)
        turns = (load.waiting + 1) / max(1, self._limits.max_running)
        wait_s = max(turns * load.mean_s, self.expected_wait_s(expert))
        return float(min(_LONGEST_RETRY_S, max(1, math.ceil(wait_s))))


def _stopped() -> NotResidentError:
    return NotResidentError("the worker was stopped: ask another one", _RETRY_S)
