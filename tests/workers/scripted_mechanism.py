"""A device whose loads take as long and fail as a test says. It fails the test where its caller breaks a rule."""

import asyncio
from collections.abc import Callable, Collection

from workers.errors import EngineAwayError, WorkerError
from workers.policies import Memory
from workers.reports import Tier


class ScriptedMechanism:
    """`runs` says what runs now; `fails` is raised by the next swap, `dies` takes all that is idle with it.

    `fetch_fails` is raised by every fetch, after `fetch_s` seconds, and `evict_fails` by every `evict`.
    """

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.budget, self.host_budget = memory.device_bytes, memory.host_bytes
        self.truth: set[str] = set()
        self.held: set[str] = set()
        self.swaps: list[tuple[str, tuple[str, ...], Tier]] = []
        self.runs: Callable[[], Collection[str]] = tuple
        self.fails: WorkerError | None = None
        self.dies = False
        self.busy = False
        self.sleepers: frozenset[str] = frozenset()
        self.unfetchable: frozenset[str] = frozenset()
        self.fetch_s = 0.0
        self.evict_fails: Exception | None = None
        self.fetch_fails: WorkerError | None = None

    def resident(self) -> Collection[str]:
        return set(self.truth)

    def copies(self) -> Collection[str]:
        return set(self.held)

    def reserved(self) -> int:
        return 0

    async def copy_bytes(self, name: str) -> int:
        return self.memory.costs[name].size

    def leaves_copy(self, name: str) -> bool:
        return name in self.sleepers

    def fetches(self, name: str) -> bool:
        return name not in self.unfetchable

    async def swap(self, name: str, evict: Collection[str], *, keep: Collection[str]) -> Tier:
        assert not self.busy, "two changes at once"
        assert name not in self.truth, "it is there already"
        assert not set(evict) & set(self.runs()), "what leaves still runs"
        self.busy = True
        try:
            self.truth -= set(evict)
            self.held |= set(evict) & set(keep)
            self._check({*self.truth, name})
            tier: Tier = "host" if name in self.held else "disk"
            await asyncio.sleep(self.memory.costs[name].load_s[tier])
            if self.dies:
                self.truth &= set(self.runs())
                self.held.clear()
                self.dies = False
                raise EngineAwayError("the engine ended")
            if self.fails:
                failed, self.fails = self.fails, None
                raise failed
            if name in keep:
                self.held.add(name)
            self.truth.add(name)
            self._check(self.truth)
            self.swaps.append((name, tuple(evict), tier))
            return tier
        finally:
            self.busy = False

    async def evict(self, name: str, *, keep: bool) -> None:
        assert not self.busy, "two changes at once"
        assert name not in self.runs(), "what leaves still runs"
        if self.evict_fails:
            raise self.evict_fails
        self.truth.discard(name)
        if keep:
            self.held.add(name)
        self._check(self.truth)

    async def fetch(self, name: str) -> None:
        assert name not in self.unfetchable, "nothing could copy it"
        await asyncio.sleep(self.fetch_s)
        if self.fetch_fails:
            raise self.fetch_fails
        self.held.add(name)
        self._check(self.truth)

    async def drop(self, name: str) -> None:
        self.held.remove(name)

    def _check(self, device: Collection[str]) -> None:
        costs = self.memory.costs
        assert sum(costs[name].size for name in device) <= self.budget, "more than the device holds"
        assert sum(costs[name].size for name in self.held) <= self.host_budget, "more than host memory may hold"
        assert all(len(group & set(device)) <= 1 for group in self.memory.groups), "two of an exclusive group"
