"""Counts which experts prompts ask for, off the request path: names in, decayed counts in Redis out.

On the request path stands one addition. What Redis could not take stays here and decays meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable

from coe.store.client import STORE_ERRORS
from coe.store.demand import DemandCounts, decayed
from coe.telemetry.logs import get_logger

PUSH_S = 1.0
log = get_logger("coe.gateway.demand")


class DemandCounter:
    """One per gateway. `clock`: seconds from any start."""

    def __init__(self, counts: DemandCounts, clock: Callable[[], float] = time.monotonic) -> None:
        self._counts = counts
        self._clock = clock
        self._noted: Counter[str] = Counter()
        self._left: dict[str, float] = {}
        self._left_at = 0.0
        self._pushing = asyncio.Lock()

    def note(self, expert: str) -> None:
        """A request asks for the expert, whoever will answer it."""
        self._noted[expert] += 1

    async def run(self) -> None:
        """Hands on what was noted, every second, until cancelled."""
        while True:
            await asyncio.sleep(PUSH_S)
            await self.push()

    async def push(self) -> None:
        """Hands on what was noted, now."""
        async with self._pushing:
            noted, self._noted = self._noted, Counter()
            asked = self._with_left(noted)
            if not asked:
                return
            try:
                await self._counts.add(asked)
            except STORE_ERRORS as error:
                if not self._left:
                    log.warning("Redis is away; demand is counted here meanwhile", error=repr(error))
                self._left, self._left_at = asked, self._clock()
                return
            if self._left:
                log.info("Redis is back; demand is counted there again")
            self._left = {}

    def _with_left(self, noted: Counter[str]) -> dict[str, float]:
        age_s = self._clock() - self._left_at
        asked = {name: decayed(count, age_s, self._counts.half_life_s) for name, count in self._left.items()}
        for name, count in noted.items():
            asked[name] = asked.get(name, 0.0) + count
        return asked
