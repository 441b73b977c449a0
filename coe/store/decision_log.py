"""Routing decisions in Redis by request id, for a time, so that a score that comes later finds what it is about.

A list names the latest of them. Beside them a stream of the prompts that the router would not decide, where their texts
may be kept at all: whoever writes a decision with its text has asked the configuration.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from coe.store.streams import as_text

_PROMPT = "prompt"
MAX_RECENT = 1_000
"""Decisions that the list names; it holds their keys alone, so that nothing outlives its time in it."""
_WRITE = """
local recent = KEYS[#KEYS]
for i = 1, #KEYS - 1 do
  redis.call('SET', KEYS[i], ARGV[i + 2], 'PX', ARGV[1])
  redis.call('LPUSH', recent, KEYS[i])
end
redis.call('LTRIM', recent, 0, ARGV[2] - 1)
redis.call('PEXPIRE', recent, ARGV[1])
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
        self._recent = f"{namespace}:decisions:recent"
        self._rejected = f"{namespace}:prompts:rejected"
        self.keep_s = keep_s
        self._max_prompts = max_prompts
        self._write = client.register_script(_WRITE)  # one command: as many as decisions cost several times the CPU

    async def write(self, decisions: Sequence[LoggedDecision]) -> None:
        """Stores all. Of several for one request id the last stands."""
        keys = [self._prefix + decision.request_id for decision in decisions]
        values = [orjson.dumps(decision) for decision in decisions]
        kept_ms = str(round(self.keep_s * 1000))
        await self._write(keys=[*keys, self._recent], args=[kept_ms, str(MAX_RECENT), *values])
        prompts = [decision.prompt for decision in decisions if decision.abstained and decision.prompt]
        if prompts:
            pipeline = self._client.pipeline(transaction=False)  # its awaits queue; execute sends
            for prompt in prompts:
                await pipeline.xadd(self._rejected, {_PROMPT: prompt}, maxlen=self._max_prompts)
            await pipeline.execute()

    async def find(self, request_id: str) -> LoggedDecision | None:
        """None: there was none, it is too old, or a version of this service wrote it that this one cannot read."""
        return _read(await self._client.get(self._prefix + request_id))

    async def latest(self, limit: int) -> list[LoggedDecision]:
        """At most `limit` of the last `MAX_RECENT`, the newest first; what `find` would not find is left out."""
        keys = list(dict.fromkeys(await self._client.lrange(self._recent, 0, limit - 1)))
        stored = await self._client.mget(keys) if keys else []
        found = [decision for decision in map(_read, stored) if decision]
        return sorted(found, key=lambda decision: -decision.at)  # gateways write in batches, each its own

    async def rejected_prompts(self, limit: int) -> list[str]:
        """The latest prompts that the router would not decide, at most `limit`, the oldest of them first."""
        entries = as_text(await self._client.xrevrange(self._rejected, count=limit))
        return [fields[_PROMPT] for _, fields in entries][::-1]


def _read(stored: bytes | str | None) -> LoggedDecision | None:
    if stored is None:
        return None
    try:
        return _DECISION.validate_json(stored)
    except ValidationError:
        return None
