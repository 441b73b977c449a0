"""What is resident on one device, and the changes of it: a swap goes in, its outcome comes out, one at a time.

    Swap ─▶ nothing new on what leaves ─▶ drained ─▶ Mechanism.swap ─▶ Memory as the mechanism says ─▶ SwapReport

The mechanism is the truth. Whatever a swap comes to, and whenever an engine ends or comes back, `Memory` is set to what
the mechanism says, so that nothing is let in to weights that are not there.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Sequence
from contextvars import Context
from dataclasses import dataclass, replace
from typing import Protocol

from workers.errors import EngineAwayError, EngineError, WorkerError
from workers.policies import Memory, Policy, Swap
from workers.reports import SwapReport, Tier

_LOG = logging.getLogger("coe.residency")
_KEPT_REPORTS = 16
_SHARE_OF_LAST = 0.3  # of the newest load time in the moving average
_FIRST_RETRY_S = 5.0
_LONGEST_RETRY_S = 300.0
_FETCH_RETRY_S = 30.0
UNKNOWN_SIZE = 1
"""Bytes of what is not limited on the device, until they are measured for a copy in host memory."""


class Mechanism(Protocol):
    """How weights come and go on one device. No two calls of `swap` and `evict` overlap, and none of the others."""

    def resident(self) -> Collection[str]:
        """What can answer now."""
        ...

    def copies(self) -> Collection[str]:
        """What has a copy in host memory now."""
        ...

    def reserved(self) -> int:
        """Bytes of the device that are taken by what is not resident, or not yet."""
        ...

    async def copy_bytes(self, name: str) -> int:
        """What a copy of `name` takes in host memory. Raises `WorkerError`."""
        ...

    def leaves_copy(self, name: str) -> bool:
        """Whether `name` can stay in host memory when it leaves the device."""
        ...

    def fetches(self, name: str) -> bool:
        """Whether `fetch` is possible now."""
        ...

    async def swap(self, name: str, evict: Collection[str], *, keep: Collection[str]) -> Tier:
        """Make `name` resident in the place of `evict`, where nothing runs; returns the tier that it came from.

        `keep`: of all these, what may have a copy in host memory. It has a deadline of its own. Raises `WorkerError`:
        then what is resident may be anything, or nothing.
        """
        ...

    async def evict(self, name: str, *, keep: bool) -> None:
        """Take `name`, where nothing runs, off the device; `keep`: a copy may stay. Raises `WorkerError`."""

    async def fetch(self, name: str) -> None:
        """Copy `name` from disk to host memory. Raises `WorkerError`."""

    async def drop(self, name: str) -> None:
        """Forget the copy in host memory. Raises `WorkerError`."""


@dataclass(frozen=True, slots=True)
class LoadFailure:
    """Why something could not be made resident, how often in a row, and when it may be tried again."""

    error: WorkerError
    times: int
    retry_at: float


class Residency:
    """Belongs to one event loop. `memory` is written here and by the admission that lets requests in."""

    def __init__(
        self,
        memory: Memory,
        mechanism: Mechanism,
        policy: Policy,
        *,
        on_change: Callable[[], None] = lambda: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.memory = memory
        self.leaving: frozenset[str] = frozenset()
        self.coming: str | None = None
        self.reports: deque[SwapReport] = deque(maxlen=_KEPT_REPORTS)
        self.on_fetched: Callable[[], None] = lambda: None
        self._mechanism = mechanism
        self._policy = policy
        self._on_change = on_change
        self._clock = clock
        self._failures: dict[str, LoadFailure] = {}
        self._device_bytes = memory.device_bytes
        self._fetching: asyncio.Task[None] | None = None
        self._fetch_again_at: dict[str, float] = {}
        self._copy_sizes: dict[str, int] = {}
        self._count = 0

    def admits(self, name: str) -> bool:
        """Whether a request may be let in to `name` now."""
        return name in self.memory.resident and name not in self.leaving

    def failure(self, name: str) -> LoadFailure | None:
        """Why `name` cannot be made resident now; None where it can, or may be tried again."""
        failed = self._failures.get(name)
        return failed if failed and self._clock() < failed.retry_at else None

    @property
    def swaps(self) -> int:
        """How many have ended, well or not; the number of the last."""
        return self._count

    def brought(self, name: str, after: int) -> SwapReport | None:
        """The last swap that brought `name` in, where its number is above `after` and it is remembered."""
        found = (swap for swap in reversed(self.reports) if swap.model == name and not swap.error)
        return next((swap for swap in found if swap.number > after), None)

    def blockers(self, name: str) -> list[str]:
        """What is pinned and so leaves no place for `name`; empty where there is one."""
        memory = self.memory
        if name in memory.resident or name == self.coming:
            return []
        unpinned = [other for other in memory.resident if other not in memory.pinned]
        return [] if memory.evicted_for(name, unpinned) is not None else sorted(memory.pinned & memory.resident.keys())

    def unload_in_s(self, name: str, idle_s: float | None) -> float | None:
        """How long `name` stays resident while nobody asks for it, where it may do so for `idle_s`; None: for ever."""
        memory = self.memory
        if idle_s is None or name not in memory.resident or name in memory.pinned:
            return None
        unused_s = 0.0 if name in memory.running else self._clock() - memory.resident[name]
        return round(max(0.0, idle_s - unused_s), 3)

    def forget_failure(self, name: str) -> None:
        """Let `name` be tried again at once."""
        self._failures.pop(name, None)

    def announce(self, swap: Swap) -> None:
        """From now on nothing is let in to what leaves. `swap` has to follow."""
        self.coming, self.leaving = swap.name, frozenset(swap.evict)

    async def swap(self, swap: Swap, drained: Callable[[], Awaitable[None]]) -> None:
        """Carry out what was announced as soon as `drained` returns, because nothing runs on what leaves.

        Raises `WorkerError`.
        """
        tier = self.memory.tier(swap.name)
        began = self._clock()
        error: WorkerError | None = None
        self._on_change()
        try:
            await drained()
            began = self._clock()
            await self._end_fetch(swap.name)
            tier = await self._bring(swap)
            self._failures.pop(swap.name, None)
        except WorkerError as failed:
            error = failed
            if not isinstance(failed, EngineAwayError):  # else it may not be at fault
                self._failures[swap.name] = self._next_failure(swap.name, failed)
            raise
        except Exception as unexpected:  # whatever a mechanism raises, who waits must be told, and not in a loop
            _LOG.exception("the swap to `%s` failed", swap.name)
            error = EngineError(f"`{swap.name}` was not made resident ({unexpected!r}): see the log")
            self._failures[swap.name] = self._next_failure(swap.name, error)
            raise error from unexpected
        finally:
            self.coming, self.leaving = None, frozenset()
            self._note(swap, tier, self._clock() - began, error)
            self.sync()

    async def put_away(self, name: str, drained: Callable[[], Awaitable[None]]) -> bool:
        """Take `name` off the device once `drained` has returned; False where it is not there. Raises `WorkerError`."""
        if name not in self.memory.resident:
            return False
        self.leaving = frozenset({name})
        self._on_change()
        try:
            await drained()
            await self._end_fetch()
            keep = self._mechanism.leaves_copy(name) and await self._make_room_in_host(name)
            await self._mechanism.evict(name, keep=keep)
        except WorkerError:
            raise
        except Exception as unexpected:  # whatever a mechanism raises: who puts away what is unused must go on
            _LOG.exception("`%s` was not put away", name)
            raise EngineError(f"`{name}` was not put away ({unexpected!r}): see the log") from unexpected
        finally:
            self.leaving = frozenset()
            self.sync()
        return True

    def prefetch(self) -> None:
        """Begin to copy to host memory what the policy names, where nothing else is under way.

        It is the work of no request, whoever's coming or going set it off, so that it runs in a context of its own.
        """
        memory = self.memory
        if self.coming or self.leaving or self._fetching or not memory.host_bytes:
            return
        now = self._clock()
        memory.disk_only = {name for name in memory.costs if not self._can_fetch(name, now)}
        name = self._policy.prefetch(memory, now)
        if name is not None and name not in memory.host and name not in memory.disk_only:
            self._fetching = asyncio.create_task(self._fetch(name), name=f"fetch {name}", context=Context())

    async def close(self) -> None:
        """End what is being fetched."""
        await self._end_fetch()

    def sync(self) -> None:
        """Set what is resident, and what has a copy in host memory, to what the mechanism says."""
        now, memory = self._clock(), self.memory
        memory.device_bytes = self._device_bytes - self._mechanism.reserved()
        for known, truth in ((memory.resident, self._mechanism.resident()), (memory.host, self._mechanism.copies())):
            for gone in known.keys() - set(truth):
                del known[gone]
            for name in truth:
                if name not in known:
                    known[name] = now
                    if known is memory.resident:
                        self._policy.loaded(name, now)
        self._on_change()

    async def _bring(self, swap: Swap) -> Tier:
        candidates = (*filter(self._mechanism.leaves_copy, swap.evict), swap.name)
        keep = await self._make_rooms_in_host(candidates)
        tier = await self._mechanism.swap(swap.name, swap.evict, keep=keep)
        if swap.name not in self._mechanism.resident():
            raise EngineAwayError(f"the engine of `{swap.name}` ended when it had just been loaded: try again")
        return tier

    def _can_fetch(self, name: str, now: float) -> bool:
        recently_failed = self.failure(name) or now < self._fetch_again_at.get(name, -math.inf)
        return not recently_failed and self._mechanism.fetches(name)

    async def _fetch(self, name: str) -> None:
        try:
            if await self._make_room_in_host(name):
                await self._mechanism.fetch(name)
        except WorkerError as error:
            _LOG.warning("`%s` was not copied to host memory: %s", name, error)
            self._fetch_again_at[name] = self._clock() + _FETCH_RETRY_S  # it may yet be loaded from disk
        finally:
            self._fetching = None
            self.sync()
        self.on_fetched()

    async def _end_fetch(self, wanted: str | None = None) -> None:
        """Until nothing is being fetched: what is `wanted` to its end, all else is given up."""
        task = self._fetching
        if task is None:
            return
        if task.get_name() != f"fetch {wanted}":
            task.cancel()
        await asyncio.wait((task,))

    async def _make_room_in_host(self, name: str) -> bool:
        """Whether a copy of `name` fits into host memory, after others were dropped where the policy lets them go."""
        return name in await self._make_rooms_in_host((name,))

    async def _make_rooms_in_host(self, names: Sequence[str]) -> set[str]:
        """Those of `names` whose copies fit into host memory together, the first before the later ones."""
        memory = self.memory
        kept: dict[str, int] = {}
        order = [name for name in self._policy.leaves_host(memory, self._clock()) if name not in names]
        for name in names:
            size = await self._copy_bytes(name)
            others = {other: self._copy_sizes[other] for other in memory.host if other != name}
            taken = sum((others | kept).values())
            while order and taken + size > memory.host_bytes:
                victim = order.pop(0)
                await self._mechanism.drop(victim)
                memory.host.pop(victim, None)
                taken -= self._copy_sizes[victim]
            if taken + size <= memory.host_bytes:
                kept[name] = size
        return set(kept)

    async def _copy_bytes(self, name: str) -> int:
        """Measured at the first time, because what a device sets aside for an expert may be more than its weights."""
        if not self.memory.host_bytes:
            return self.memory.costs[name].size
        if name not in self._copy_sizes:
            size = self._copy_sizes[name] = await self._mechanism.copy_bytes(name)
            cost = self.memory.costs[name]
            if cost.size == UNKNOWN_SIZE:
                self.memory.costs = {**self.memory.costs, name: replace(cost, size=size)}
        return self._copy_sizes[name]

    def _note(self, swap: Swap, tier: Tier, seconds: float, error: WorkerError | None) -> None:
        self._count += 1
        report = SwapReport(
            number=self._count,
            at=time.time(),
            model=swap.name,
            tier=tier,
            evicted=swap.evict,
            seconds=round(seconds, 4),
            error=str(error) if error else None,
        )
        self.reports.append(report)
        if error:
            _LOG.error("`%s` was not made resident: %s", swap.name, error)
            return
        _LOG.info("`%s` is resident, from %s in %.3f s, in place of %s", swap.name, tier, seconds, swap.evict or "none")
        self._learn(swap.name, tier, seconds)

    def _learn(self, name: str, tier: Tier, seconds: float) -> None:
        if tier == "device":
            return
        cost = self.memory.costs[name]
        known = cost.load_s.get(tier, seconds)
        learnt = {**cost.load_s, tier: known + _SHARE_OF_LAST * (seconds - known)}
        self.memory.costs = {**self.memory.costs, name: replace(cost, load_s=learnt)}

    def _next_failure(self, name: str, error: WorkerError) -> LoadFailure:
        earlier = self._failures.get(name)
        times = earlier.times + 1 if earlier else 1
        delay_s = min(_LONGEST_RETRY_S, _FIRST_RETRY_S * 2.0 ** (times - 1))
        return LoadFailure(error, times, self._clock() + delay_s)
