"""The span of a request: an ASGI application in, the same one in a span out, in the trace that the client names."""

from __future__ import annotations

import structlog
from opentelemetry.context import Context
from opentelemetry.propagators.textmap import Getter
from opentelemetry.trace import Span, SpanKind, Tracer, format_span_id, format_trace_id, use_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp, Receive, Scope, Send

from coe.gateway.envelope import LOGGED
from coe.gateway.exchange import Exchange
from coe.tracing.chunks import fail
from coe.tracing.genai import Attributes

_PROPAGATOR = TraceContextTextMapPropagator()


class TracedApp:
    """An ASGI application around the envelope, which puts the exchange into the scope. Log lines get the span's ids."""

    def __init__(self, app: ASGIApp, tracer: Tracer) -> None:
        self._app = app
        self._tracer = tracer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in LOGGED:
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        span = self._tracer.start_span(
            f"{method} {path}",
            context=_PROPAGATOR.extract(scope, context=Context(), getter=_HEADERS),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": path, "url.path": path},
        )
        ids = span.get_span_context()
        trace_id, span_id = format_trace_id(ids.trace_id), format_span_id(ids.span_id)
        with (
            use_span(span, end_on_exit=True, record_exception=False, set_status_on_exception=False),
            structlog.contextvars.bound_contextvars(trace_id=trace_id, span_id=span_id),
        ):
            try:
                await self._app(scope, receive, send)
            finally:
                _describe(span, Exchange.of(scope))


class _ScopeHeaders(Getter[Scope]):
    def get(self, carrier: Scope, key: str) -> list[str] | None:
        wanted = key.encode()
        return [value.decode("latin-1") for name, value in carrier["headers"] if name == wanted] or None

    def keys(self, carrier: Scope) -> list[str]:
        return [name.decode("latin-1") for name, _ in carrier["headers"]]


_HEADERS = _ScopeHeaders()


def _describe(span: Span, exchange: Exchange) -> None:
    if not span.is_recording():
        return
    found: Attributes = {"coe.request_id": exchange.request_id, "http.response.status_code": exchange.status}
    if decision := exchange.decision:
        found |= {
            "coe.category": decision.category,
            "coe.confidence": round(decision.confidence, 4),
            "coe.abstained": decision.abstained,
            "coe.plan": decision.plan.label,
            "coe.expert": exchange.expert or decision.expert,
            "coe.swap_ms": exchange.swap_ms,
        }
        if decision.instead_of:
            found["coe.instead_of"] = decision.instead_of
    if exchange.cache:
        found["coe.cache"] = exchange.cache
    if exchange.first_byte_s is not None:
        found["coe.ttft_s"] = round(exchange.first_byte_s, 6)
    span.set_attributes(found)
    if exchange.error is None:
        return
    if exchange.status < 400 or exchange.status >= 500:  # what the client did wrong is no error of the service
        fail(span, exchange.error)
    else:
        span.set_attribute("error.type", exchange.error)
