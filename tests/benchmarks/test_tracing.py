"""The gateway that the benchmark of traces measures answers as a real one does."""

from __future__ import annotations

import orjson
import pytest

from benchmarks.tracing import ASKED, TOKENS, ask, make_app
from coe.tracing.export import Spans
from coe.tracing.gateway import TracedGateway
from coe.tracing.hooks import NoTracing
from tests.otlp_receiver import receiving


@pytest.mark.parametrize("asked", ASKED)
async def test_what_is_measured_is_answered_and_traced(asked: str) -> None:
    body = orjson.dumps({"messages": [{"role": "user", "content": "Why?"}], **ASKED[asked]})
    with receiving() as receiver:
        tracing = TracedGateway(Spans(f"{receiver.url}/v1/traces", "gateway", 1.0), prompts=False)
        plain, traced = await ask(make_app(NoTracing()), body), await ask(make_app(tracing), body)
        await tracing.close(10.0)
    assert plain.count(b"word ") == traced.count(b"word ") == TOKENS
    names = {span.name for span in receiver.spans}
    assert {"POST /v1/chat/completions", "route", "chat expert"} <= names
    assert ("invoke_workflow self-moa" in names) == ("Self-MoA" in asked)
