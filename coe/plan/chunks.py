"""An answer's chunks with something done around them: a generator that hands on to another one.

A generator function would do nothing, and close nothing, if it were closed before its start.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType


class WrappedChunks(AsyncGenerator[bytes, None]):
    """Base of what changes `asend` or `aclose`; as it is, it gives what `chunks` gives."""

    def __init__(self, chunks: AsyncGenerator[bytes, None]) -> None:
        self._chunks = chunks

    async def asend(self, value: None) -> bytes:
        return await self._chunks.asend(value)

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> bytes:
        return await self._chunks.athrow(typ, val, tb)  # type: ignore[arg-type]  # typeshed has it as overloads

    async def aclose(self) -> None:
        await self._chunks.aclose()
