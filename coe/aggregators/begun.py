"""An answer that has shown that it goes on: its first bytes are read, and can still be read by whoever comes next."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from types import TracebackType

from coe.plan.expert import Answer


async def begun(answer: Answer) -> Answer:
    """The same answer, once its first bytes are there, or its whole body where it is not streamed.

    Raises:
        RequestError: what the answer raised; it is closed then.
    """
    try:
        first = await anext(answer.chunks, b"")
        if not answer.streamed:
            first = b"".join([first, *[chunk async for chunk in answer.chunks]])
    except BaseException:  # also a cancellation: the engine must stop
        await answer.chunks.aclose()
        raise
    answer.chunks = _ReadAhead(first, answer.chunks)
    return answer


class _ReadAhead(AsyncGenerator[bytes, None]):
    """`first`, then the rest. A generator function would not close the rest if it were closed before its start."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        self._first: bytes | None = first
        self._rest = rest

    async def asend(self, value: None) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await self._rest.asend(value)

    async def athrow(
        self,
        typ: type[BaseException] | BaseException,
        val: BaseException | object = None,
        tb: TracebackType | None = None,
    ) -> bytes:
        return await self._rest.athrow(typ, val, tb)  # type: ignore[arg-type]  # typeshed has it as overloads

    async def aclose(self) -> None:
        await self._rest.aclose()
