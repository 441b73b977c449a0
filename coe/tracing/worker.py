"""The spans of a worker: a served request in, one span for it and one for the swap that it waited for out.

They are made when the request is over, so that serving it knows nothing of spans. A request that comes without a trace
gets none.
"""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from coe.tracing.chunks import fail
from coe.tracing.export import Spans
from coe.tracing.genai import Attributes
from workers.port.serving import Serving
from workers.reports import SwapReport

_PROPAGATOR = TraceContextTextMapPropagator()
_CLIENT_ERRORS = range(400, 500)


class TracedWorker:
    """Of one worker."""

    def __init__(self, spans: Spans, worker_id: str) -> None:
        self._spans = spans
        self._tracer = spans.tracer
        self._worker_id = worker_id

    def served(self, serving: Serving) -> None:
        if not serving.trace:
            return
        above = _PROPAGATOR.extract(dict(serving.trace), context=Context())
        span = self._tracer.start_span(
            f"serve {serving.expert}", above, SpanKind.SERVER, start_time=_nanoseconds(serving.began)
        )
        if span.is_recording():
            span.set_attributes(self._attributes(serving))
            if serving.error and serving.status not in _CLIENT_ERRORS:
                fail(span, serving.error)
            if serving.swap:
                self._swapped(serving.swap, set_span_in_context(span))
        span.end(_nanoseconds(serving.ended))

    def _attributes(self, serving: Serving) -> Attributes:
        found: Attributes = {
            "http.request.method": "POST",
            "http.response.status_code": serving.status,
            "coe.worker": self._worker_id,
            "coe.expert": serving.expert,
            "coe.request_id": serving.request_id,
            "coe.waited_s": round(serving.waited_s, 6),
        }
        if serving.tier:
            found["coe.tier"] = serving.tier
        if serving.error:
            found["error.type"] = serving.error
        return found

    def _swapped(self, swap: SwapReport, above: Context) -> None:
        """A swap is in the trace of every request that waited for it; its number tells that it is the same."""
        span = self._tracer.start_span(
            f"swap {swap.model}",
            above,
            start_time=_nanoseconds(swap.at - swap.seconds),
            attributes={
                "coe.worker": self._worker_id,
                "coe.swap.model": swap.model,
                "coe.swap.tier": swap.tier,
                "coe.swap.evicted": swap.evicted,
                "coe.swap.number": swap.number,
            },
        )
        if swap.error:
            fail(span, "swap_failed")
        span.end(_nanoseconds(swap.at))

    async def close(self, timeout_s: float) -> None:
        await self._spans.close(timeout_s)


def _nanoseconds(seconds: float) -> int:
    return int(seconds * 1e9)
