"""An answer's chunks, unchanged, and a span that ends with them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any, TypeAlias

from opentelemetry.context import attach, detach
from opentelemetry.trace import Span, Status, StatusCode, set_span_in_context

from coe.errors import RequestError
from coe.plan.chunks import WrappedChunks

CANCELLED = "cancelled"
"""`error.type` of what nobody waited for any longer."""
Tell: TypeAlias = Callable[[bytes], None]


def fail(span: Span, error_type: str) -> None:
    """Marks the span by the conventions; texts of errors may quote a request, so none is kept."""
    span.set_attribute("error.type", error_type)
    span.set_status(Status(StatusCode.ERROR))


def error_type(error: BaseException) -> str:
    """For `error.type`: the code that the client gets, or that it was cancelled, or the exception's class."""
    if isinstance(error, RequestError):
        return error.body.code or error.body.type
    return CANCELLED if not isinstance(error, Exception) else type(error).__name__


class SpanChunks(WrappedChunks):
    """The chunks of an answer that a span covers.

    Args:
        chunks: the answer's.
        span: ended with the last chunk, or when the chunks are closed before it.
        above: whether what runs for a chunk runs under the span.
        on_chunk: told each chunk.
        on_end: called once, while the span can still take attributes; returns the `error.type` of an answer that came
            to its end and is an error all the same.
    """

    def __init__(
        self,
        chunks: AsyncGenerator[bytes, None],
        span: Span,
        on_chunk: Tell,
        on_end: Callable[[], str | None],
        *,
        above: bool,
    ) -> None:
        super().__init__(chunks)
        self._span = span
        self._context = set_span_in_context(span) if above else None
        self._on_chunk = on_chunk
        self._on_end = on_end
        self._ended = False

    def __anext__(self) -> Coroutine[Any, Any, bytes]:
        return self.asend(None)  # the inherited one is a coroutine more for each token

    async def asend(self, value: None) -> bytes:
        token = attach(self._context) if self._context else None
        try:
            chunk = await self._chunks.asend(value)
        except StopAsyncIteration:
            self._end(None)
            raise
        except BaseException as error:  # also a cancellation: the span ends whatever it is
            self._end(error_type(error))
            raise
        finally:
            if token:
                detach(token)
        self._on_chunk(chunk)
        return chunk

    async def aclose(self) -> None:
        try:
            await self._chunks.aclose()
        finally:
            self._end(CANCELLED)

    def _end(self, failed: str | None) -> None:
        if self._ended:
            return
        self._ended = True
        inside = self._on_end()
        if cause := failed or inside:
            fail(self._span, cause)
        self._span.end()
