"""Routing decisions in Redis by request id, for a time, so that a score that comes later finds what it is about.

Beside them a stream of the prompts that the router would not decide, where their texts may be kept at all: whoever
writes a decision with its text has asked the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from coe.store.streams import as_text

_PROMPT = "prompt"
_WRITE = """
for i, key in ipairs(KEYS) do redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1]) end
"""


@dataclass(frozen=True, slots=True)
class LoggedDecision:
    """One routed or directly addressed chat request.

    Attributes:
        request_id: the reply's `x-request-id`.
        category: `general` where the router abstained; None where the client named the expert.
        confidence: in [0, 1], the probability of the likeliest category, abstained or not; 1 where nothing was routed.
        abstained: the router would not decide.
        expert: who answered, after a fallback; None where nobody did.
        plan: the plan's label.
        at: when the exchange ended, in seconds since 1970.
        router_version: of the router that decided; empty where nothing was classified.
        prompt: the text that was classified, clipped; None where it is not to be kept.
        instead_of: the expert that the router named, where a resident one was taken to save a swap.
    """

    request_id: str
    category: str | None
    confidence: float
    abstained: bool
    expert: str | None
    plan: str
    at: float
    router_version: str
    prompt: str | None = None
    instead_of: str | None = None


_DECISION = TypeAdapter(LoggedDecision)


class DecisionLog:
    """Writes and finds decisions under one namespace. Raises `STORE_ERRORS` when Redis is away.

    Args:
        client: of Redis.
        namespace: prefix of all keys.
        keep_s: how long a decision is kept, in seconds.
        max_prompts: length of the stream of abstained prompts, about.
    """

    def __init__(self, client: Redis, namespace: str, keep_s: float, max_prompts: int) -> None:
        self._client = client
        self._prefix = f"{namespace}:decision:"
        self._rejected = f"{namespace}:prompts:rejected"
        self.keep_s = keep_s
        self._max_prompts = max_prompts
        self._write = client.register_script(_WRITE)  # one command: as many as decisions cost several times the CPU

    async def write(self, decisions: Sequence[LoggedDecision]) -> None:
        """Stores all. Of several for one request id the last stands."""
        keys = [self._prefix + decision.request_id for decision in decisions]
        values = [orjson.dumps(decision) for decision in decisions]
        await self._write(keys=keys, args=[str(round(self.keep_s * 1000)), *values])
        prompts = [decision.prompt for decision in decisions if decision.abstained and decision.prompt]
        if prompts:
            pipeline = self._client.pipeline(transaction=False)  # its awaits queue; execute sends
            for prompt in prompts:
                await pipeline.xadd(self._rejected, {_PROMPT: prompt}, maxlen=self._max_prompts)
            await pipeline.execute()

    async def find(self, request_id: str) -> LoggedDecision | None:
        """None: there was none, it is too old, or a version of this service wrote it that this one cannot read."""
        stored = await self._client.get(self._prefix + request_id)
        if stored is None:
            return None
        try:
            return _DECISION.validate_json(stored)
        except ValidationError:
            return None

    async def rejected_prompts(self, limit: int) -> list[str]:
        """The latest prompts that the router would not decide, at most `limit`, the oldest of them first."""
        entries = as_text(await self._client.xrevrange(self._rejected, count=limit))
        return [fields[_PROMPT] for _, fields in entries][::-1]
