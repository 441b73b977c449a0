"""An expert that first looks whether the same question was answered before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from coe.plan.expert import Answer, Expert
from coe.plan.request import CacheMode, ChatRequest
from coe.store.client import STORE_ERRORS
from coe.store.response_cache import ResponseCache, cache_key
from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import CACHE

LOOKUP_TIMEOUT_S = 0.25
STREAM_END = b"data: [DONE]"

log = get_logger("coe.plan.cache")


class CachedExpert:
    """Wraps an expert. Without Redis it is that expert alone.

    Args:
        expert: answers what the cache does not hold.
        cache: where answers are kept.
        mode: what holds for requests that do not choose.
        fingerprint: digest of the expert's definition; another definition never gets this one's answers.
        temperature: the expert's default, for requests that leave it out.
        version: what may change of the expert while the service runs: a replaced adapter's answers are not its own.
    """

    def __init__(
        self,
        expert: Expert,
        cache: ResponseCache,
        mode: CacheMode,
        fingerprint: str,
        temperature: float | None,
        *,
        version: Callable[[], str] = str,
    ) -> None:
        self._expert = expert
        self._cache = cache
        self._mode = mode
        self._fingerprint = fingerprint
        self._version = version
        self._temperature = 1.0 if temperature is None else temperature

    @property
    def name(self) -> str:
        return self._expert.name

    async def answer(self, request: ChatRequest) -> Answer:
        if not self._wanted(request):
            return await self._expert.answer(request)
        key = self._key(request)
        if stored := await self._replayed(key, request):
            return stored
        CACHE.labels("miss").inc()
        answer = await self._expert.answer(request)
        answer.chunks = self._keep(key, answer.chunks, streamed=answer.streamed)
        answer.cache = "miss"
        return answer

    async def recall(self, request: ChatRequest) -> Answer | None:
        """The kept answer to this request, whatever its mode; the expert is not asked."""
        return await self._replayed(self._key(request), request)

    async def _replayed(self, key: str, request: ChatRequest) -> Answer | None:
        stored = await self._look_up(key)
        if stored is None:
            return None
        CACHE.labels("hit").inc()
        return Answer(self.name, request.stream, _replay(stored), cache="hit")

    def _key(self, request: ChatRequest) -> str:
        return cache_key(self._fingerprint + self._version(), request.fields)

    def _wanted(self, request: ChatRequest) -> bool:
        match request.cache or self._mode:
            case "always":
                return True
            case "greedy":
                return (self._temperature if request.temperature is None else request.temperature) == 0
            case _:
                return False

    async def _look_up(self, key: str) -> bytes | None:
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                return await self._cache.get(key)
        except STORE_ERRORS as error:
            log.warning("response cache is away", error=repr(error))
            return None

    async def _keep(
        self, key: str, answer: AsyncGenerator[bytes, None], *, streamed: bool
    ) -> AsyncGenerator[bytes, None]:
        """Passes the answer on and stores it when it has come to its proper end."""
        pieces: list[bytes] = []
        size = 0
        async with aclosing(answer) as chunks:
            async for chunk in chunks:
                size += len(chunk)
                if size <= self._cache.max_bytes:
                    pieces.append(chunk)
                yield chunk
        whole = b"".join(pieces)
        if size > self._cache.max_bytes or (streamed and not whole.rstrip().endswith(STREAM_END)):
            return
        try:
            async with asyncio.timeout(LOOKUP_TIMEOUT_S):
                await self._cache.put(key, whole)
        except STORE_ERRORS as error:
            log.warning("response cache is away", error=repr(error))


async def _replay(stored: bytes) -> AsyncGenerator[bytes, None]:
    yield stored
