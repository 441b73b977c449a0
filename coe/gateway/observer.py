"""Sees every chat exchange when it is over: into the decision log and the drift watch, off the request path.

On the request path stands an append to a bounded queue, no more. One background task empties it. What finds the queue
full or Redis away is dropped and counted; an answer never waits for its record.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal, TypeAlias

from coe.gateway.decision import Decision
from coe.gateway.drift_watch import DriftWatch
from coe.gateway.exchange import Exchange
from coe.store.client import STORE_ERRORS
from coe.store.decision_log import DecisionLog, LoggedDecision
from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import DECISIONS_LOGGED
from routers.prompts import last_words, user_turns

CHAT_PATH = "/v1/chat/completions"
QUEUED = 10_000
BATCH = 100  # under 2 ms of the event loop at a time
LINGER_S = 0.1
KeptPrompts: TypeAlias = Literal["none", "abstained", "all"]
log = get_logger("coe.gateway.observer")


@dataclass(frozen=True, slots=True)
class _Noted:
    """As little as the request path can leave; what takes time is worked out later."""

    request_id: str
    decision: Decision
    expert: str | None
    at: float
    prompt: str | None


class DecisionObserver:
    """One per gateway.

    Args:
        decisions: where they are remembered.
        drift: watches them.
        prompts: whose texts may be kept.
        queued: records that may wait.
    """

    def __init__(
        self,
        decisions: DecisionLog,
        drift: DriftWatch,
        prompts: KeptPrompts = "none",
        queued: int = QUEUED,
    ) -> None:
        self._decisions = decisions
        self._drift = drift
        self._prompts = prompts
        self._queued = queued
        self._queue: deque[_Noted] = deque()
        self._emptying = asyncio.Lock()
        self._redis_away = False

    def note(self, exchange: Exchange) -> None:
        """Takes a chat exchange that was decided, whatever became of it; others are none of its business."""
        decision = exchange.decision
        if decision is None or exchange.endpoint != CHAT_PATH:
            return
        if len(self._queue) >= self._queued:
            DECISIONS_LOGGED.labels("queue_full").inc()
            return
        expert = exchange.expert if exchange.answered else None
        prompt = self._text(exchange, decision)
        self._queue.append(_Noted(exchange.request_id, decision, expert, time.time(), prompt))

    def _text(self, exchange: Exchange, decision: Decision) -> str | None:
        if self._prompts == "none" or (self._prompts == "abstained" and not decision.abstained):
            return None
        try:
            return last_words(user_turns(exchange.messages))
        except ValueError:  # no text in it
            return None

    async def run(self) -> None:
        """Empties the queue until cancelled. It waits between batches, so that they are worth a round trip."""
        while True:
            await asyncio.sleep(LINGER_S)
            await self.flush()

    async def flush(self) -> None:
        """Empties the queue now."""
        async with self._emptying:
            while self._queue:
                batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
                await self._watch(batch)
                await self._write(batch)

    async def _watch(self, batch: Sequence[_Noted]) -> None:
        """Each decision under the router that made it, which may have been replaced before the exchange ended."""
        decided = (noted.decision for noted in batch)
        for router, decisions in groupby(decided, key=lambda decision: decision.router_card):
            if router:
                await self._drift.observe(router, [None if each.abstained else each.category for each in decisions])

    async def _write(self, batch: Sequence[_Noted]) -> None:
        try:
            await self._decisions.write([_logged(noted) for noted in batch])
        except STORE_ERRORS as error:
            DECISIONS_LOGGED.labels("redis_away").inc(len(batch))
            if not self._redis_away:
                log.warning("Redis is away; decisions are not logged", error=repr(error))
            self._redis_away = True
            return
        DECISIONS_LOGGED.labels("written").inc(len(batch))
        if self._redis_away:
            log.info("Redis is back; decisions are logged again")
        self._redis_away = False


def _logged(noted: _Noted) -> LoggedDecision:
    decision = noted.decision
    likeliest = max(decision.probabilities.values(), default=decision.confidence)
    return LoggedDecision(
        request_id=noted.request_id,
        category=decision.category if decision.routed else None,
        confidence=round(likeliest, 4),
        abstained=decision.abstained,
        expert=noted.expert,
        plan=decision.plan.label,
        at=round(noted.at, 3),
        router_version=decision.router_version,
        prompt=noted.prompt,
        instead_of=decision.instead_of,
    )
