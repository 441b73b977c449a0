"""An answer that has shown that it goes on: its first bytes are read, and can still be read by whoever comes next."""

from __future__ import annotations

from collections.abc import AsyncGenerator

from coe.plan.chunks import WrappedChunks
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


class _ReadAhead(WrappedChunks):
    """`first`, then the rest."""

    def __init__(self, first: bytes, rest: AsyncGenerator[bytes, None]) -> None:
        super().__init__(rest)
        self._first: bytes | None = first

    async def asend(self, value: None) -> bytes:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await super().asend(value)
