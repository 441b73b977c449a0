"""The exact-match response cache: the same question to the same expert gives the stored answer.

Only complete answers are kept. What may be kept (greedy or sampled) is the caller's decision, not this module's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import orjson
from redis.asyncio import Redis

from coe.plan.request import JsonValue

_NOT_PART_OF_THE_QUESTION = frozenset({"user", "metadata", "safety_identifier", "prompt_cache_key", "store", "model"})


def cache_key(expert_fingerprint: str, fields: Mapping[str, JsonValue]) -> str:
    """Digest of the expert's definition and of every request field that can change the answer."""
    question = {name: value for name, value in fields.items() if name not in _NOT_PART_OF_THE_QUESTION}
    canonical = orjson.dumps(question, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(expert_fingerprint.encode() + b"\0" + canonical).hexdigest()


class ResponseCache:
    """Stores answers as they were sent. Raises `STORE_ERRORS` when Redis is away."""

    def __init__(self, client: Redis, namespace: str, ttl_s: int, max_bytes: int) -> None:
        self._client = client
        self._prefix = f"{namespace}:answer:"
        self._ttl_s = ttl_s
        self.max_bytes = max_bytes

    async def get(self, key: str) -> bytes | None:
        stored = await self._client.get(self._prefix + key)
        return stored.encode() if isinstance(stored, str) else stored

    async def put(self, key: str, answer: bytes) -> None:
        if len(answer) <= self.max_bytes:
            await self._client.set(self._prefix + key, answer, ex=self._ttl_s)
