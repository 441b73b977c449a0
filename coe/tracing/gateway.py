"""The spans of a gateway: for each request, decision, plan of several calls, and call.

POST /v1/chat/completions            the client's `traceparent` above it
├─ route
└─ invoke_workflow self-moa          plans of several calls alone
   ├─ chat poet                      the worker's spans join here, by `traceparent`
   └─ chat poet
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from opentelemetry.trace import Span, SpanKind, Tracer, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.types import ASGIApp

from coe.gateway.decision import PromptRouter
from coe.plan.executor import PlanRunner
from coe.plan.expert import Answer, Expert
from coe.plan.plans import Plan, Single
from coe.plan.request import ChatRequest
from coe.routing import Routed, RouterCard
from coe.tracing.app import TracedApp
from coe.tracing.chunks import SpanChunks, error_type, fail
from coe.tracing.export import Spans
from coe.tracing.genai import chat_attributes, workflow_attributes
from coe.tracing.replies import ReplyFacts

_PROPAGATOR = TraceContextTextMapPropagator()


class TracedGateway:
    """Wraps the parts of one gateway. `prompts`: spans may carry the texts of messages."""

    def __init__(self, spans: Spans, *, prompts: bool) -> None:
        self._spans = spans
        self._tracer = spans.tracer
        self._prompts = prompts

    def app(self, app: ASGIApp) -> ASGIApp:
        return TracedApp(app, self._tracer)

    def router(self, router: PromptRouter) -> PromptRouter:
        return TracedRouter(router, self._tracer)

    def runner(self, runner: PlanRunner) -> PlanRunner:
        return TracedRunner(runner, self._tracer)

    def expert(self, expert: Expert) -> Expert:
        return TracedExpert(expert, self._tracer, prompts=self._prompts)

    async def close(self, timeout_s: float) -> None:
        await self._spans.close(timeout_s)


class TracedRouter:
    """A router in a span `route`."""

    def __init__(self, router: PromptRouter, tracer: Tracer) -> None:
        self._router = router
        self._tracer = tracer

    async def route(self, turns: Sequence[str]) -> Routed:
        span = self._tracer.start_span("route")
        try:
            routed = await self._router.route(turns)
        except BaseException as error:  # also a cancellation: the span ends whatever it is
            fail(span, error_type(error))
            raise
        else:
            found = routed.classification
            span.set_attributes(
                {
                    "coe.category": found.category,
                    "coe.confidence": round(found.confidence, 4),
                    "coe.abstained": found.abstained,
                    "coe.in_scope": round(found.in_scope, 4),
                    "coe.expert": routed.expert,
                    "coe.chosen_by": routed.chosen_by,
                    "coe.router.version": routed.router_card.version,
                }
            )
            return routed
        finally:
            span.end()

    async def card(self) -> RouterCard:
        return await self._router.card()


class TracedRunner:
    """Runs plans of several calls in a span of their own; a plan of one call is that call."""

    def __init__(self, runner: PlanRunner, tracer: Tracer) -> None:
        self._runner = runner
        self._tracer = tracer

    async def run(self, plan: Plan, request: ChatRequest) -> Answer:
        if isinstance(plan, Single):
            return await self._runner.run(plan, request)
        span = self._tracer.start_span(
            f"invoke_workflow {plan.label}", attributes=workflow_attributes(plan.label, request)
        )
        try:
            answer = await self._runner.run(plan, request)
        except BaseException as error:  # also a cancellation: the span ends whatever it is
            fail(span, error_type(error))
            span.end()
            raise

        def tell() -> None:
            span.set_attribute("coe.expert", answer.expert)
            if answer.run:
                span.set_attribute("coe.plan.calls", len(answer.run.calls))
                span.set_attribute("coe.plan.notes", [str(note) for note in answer.run.notes])

        answer.chunks = SpanChunks(answer.chunks, span, lambda _: None, tell, above=True)
        return answer


class TracedExpert:
    """An expert that workers hold, each call of it in a span that goes with the request to the worker."""

    def __init__(self, expert: Expert, tracer: Tracer, *, prompts: bool) -> None:
        self._expert = expert
        self._tracer = tracer
        self._prompts = prompts

    @property
    def name(self) -> str:
        return self._expert.name

    async def answer(self, request: ChatRequest) -> Answer:
        began = time.perf_counter()
        span = self._tracer.start_span(f"chat {self.name}", kind=SpanKind.CLIENT)
        if span.is_recording():
            span.set_attributes(chat_attributes(self.name, request, prompts=self._prompts))
        headers: dict[str, str] = {}
        _PROPAGATOR.inject(headers, set_span_in_context(span))
        try:
            answer = await self._expert.answer(replace(request, trace=tuple(headers.items())))
        except BaseException as error:  # also a cancellation: the span ends whatever it is
            fail(span, error_type(error))
            span.end()
            raise
        if span.is_recording():
            answer.chunks = _told(span, answer, began)
        return answer


def _told(span: Span, answer: Answer, began: float) -> SpanChunks:
    """The answer's chunks, of which the span tells at their end."""
    facts = ReplyFacts(streamed=answer.streamed)
    first_s: list[float] = []

    def read(chunk: bytes) -> None:
        if not first_s:
            first_s.append(time.perf_counter() - began)
        facts.feed(chunk)

    def tell() -> str | None:
        span.set_attributes({"gen_ai.response.model": answer.expert, "coe.swap_ms": answer.swap_ms})
        span.set_attributes(facts.attributes())
        if first_s and answer.streamed:
            span.set_attribute("gen_ai.response.time_to_first_chunk", round(first_s[0], 6))
        return facts.error

    return SpanChunks(answer.chunks, span, read, tell, above=False)
