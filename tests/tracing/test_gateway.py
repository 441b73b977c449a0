"""The spans of a gateway, as a collector receives them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import orjson
import pytest
import structlog
from aiohttp import web

from coe.config.models import CacheConfig
from coe.tracing.export import Spans
from coe.tracing.gateway import TracedGateway
from tests.otlp_receiver import OtlpReceiver
from tests.running_gateway import MakeReport, RunningGateway, StartGateway
from tests.scripted_worker import DONE, ScriptedWorker, chunk, completion, until, usage_chunk
from tests.tracing.conftest import SENT_S

ROOT = "POST /v1/chat/completions"
PLANS = ("coe", "coe/self-moa")
TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, traced: TracedGateway
) -> RunningGateway:
    return await start_gateway(make_report(worker.url), tracing=traced)


def finished(model: str) -> bytes:
    """The last frame of a streamed answer, as vLLM writes it."""
    choice = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return b"data: " + orjson.dumps({"id": "c", "model": model, "choices": [choice]}) + b"\n\n"


async def sent(gateway: RunningGateway, tracing: TracedGateway) -> None:
    """Returns when all spans are at the collector: a reply can be read before its exchange ends."""
    await gateway.get("/health")
    await until(lambda: not gateway.chat._running)
    await tracing.close(SENT_S)


async def test_a_routed_request_is_a_decision_and_a_call(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    worker.swap_ms = 12.5
    reply = await gateway.ask("a poem", temperature=0.5, max_tokens=9, stop=["END"], n=2)
    await sent(gateway, traced)
    root, route, call = receiver.one(ROOT), receiver.one("route"), receiver.one("chat poet")
    assert {span.service for span in receiver.spans} == {"coe-gateway"}
    assert (root.parent, root.kind, root.failed) == ("", "SERVER", False)
    assert receiver.below(root) == ["route", "chat poet"]
    assert root.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "url.path": "/v1/chat/completions",
        "http.response.status_code": 200,
        "coe.request_id": reply.headers["x-request-id"],
        "coe.category": "poetry",
        "coe.confidence": 0.9,
        "coe.abstained": False,
        "coe.plan": "single",
        "coe.expert": "poet",
        "coe.swap_ms": 12.5,
    }
    assert route.attributes == {
        "coe.category": "poetry",
        "coe.confidence": 0.9,
        "coe.abstained": False,
        "coe.in_scope": 0.9,
        "coe.expert": "poet",
        "coe.chosen_by": "map",
        "coe.router.version": "0123456789ab",
    }
    assert (call.kind, call.failed) == ("CLIENT", False)
    assert call.attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "coe",
        "gen_ai.request.model": "poet",
        "gen_ai.request.stream": False,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ["END"],
        "gen_ai.request.choice.count": 2,
        "gen_ai.response.model": "poet",
        "gen_ai.response.id": "c",
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 3,
        "coe.request_id": reply.headers["x-request-id"],
        "coe.swap_ms": 12.5,
    }
    assert root.began <= route.began <= route.ended <= call.began <= call.ended <= root.ended


async def test_an_abstention_shows(gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver) -> None:
    await gateway.ask("an unclear one")
    await sent(gateway, traced)
    route = receiver.one("route")
    assert (route.attributes["coe.abstained"], route.attributes["coe.category"]) == (True, "general")
    assert receiver.one(ROOT).attributes["coe.abstained"] is True


async def test_a_streamed_call_tells_when_its_first_chunk_came_and_how_it_ended(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    worker.streams(chunk("poet", "Hel"), chunk("poet", "lo"), finished("poet"), usage_chunk("poet"), DONE)
    await gateway.ask("a poem", stream=True)
    await sent(gateway, traced)
    call, root = receiver.one("chat poet"), receiver.one(ROOT)
    told = {name.removeprefix("gen_ai."): value for name, value in call.attributes.items()}
    assert told["request.stream"] is True
    assert told["response.finish_reasons"] == ["stop"]
    assert (told["usage.input_tokens"], told["usage.output_tokens"]) == (7, 3)
    first_s = told["response.time_to_first_chunk"]
    assert isinstance(first_s, float)
    assert 0 < first_s <= (call.ended - call.began) / 1e9
    assert isinstance(root.attributes["coe.ttft_s"], float)


async def test_the_worker_is_told_the_call_that_it_belongs_to(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    await gateway.ask("a poem")
    await sent(gateway, traced)
    call = receiver.one("chat poet")
    assert worker.asked[0].headers["traceparent"].split("-")[1:3] == [call.trace, call.id]


async def test_the_clients_trace_goes_on(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    body = {"model": "poet", "messages": [{"role": "user", "content": "a poem"}]}
    above = {"traceparent": f"00-{TRACE}-{SPAN}-01", "tracestate": "shop=t61"}
    await gateway.post("/v1/chat/completions", body, **above)
    await sent(gateway, traced)
    assert {span.trace for span in receiver.spans} == {TRACE}
    assert receiver.one(ROOT).parent == SPAN
    assert worker.asked[0].headers["tracestate"] == "shop=t61"


@pytest.mark.parametrize("value", ["", "00-zz-zz-01", f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{SPAN}-01"])
async def test_a_malformed_traceparent_begins_a_trace_of_its_own(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, value: str
) -> None:
    body = {"model": "poet", "messages": [{"role": "user", "content": "a poem"}]}
    assert (await gateway.post("/v1/chat/completions", body, traceparent=value)).status == 200
    await sent(gateway, traced)
    root = receiver.one(ROOT)
    assert root.parent == ""
    assert root.trace != TRACE


async def test_what_the_client_does_not_sample_is_not_sent_anywhere(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    body = {"model": "poet", "messages": [{"role": "user", "content": "a poem"}]}
    await gateway.post("/v1/chat/completions", body, traceparent=f"00-{TRACE}-{SPAN}-00")
    await sent(gateway, traced)
    assert receiver.spans == []
    assert worker.asked[0].headers["traceparent"].startswith(f"00-{TRACE}-")
    assert worker.asked[0].headers["traceparent"].endswith("-00")


async def test_a_ratio_of_zero_samples_nothing_and_answers_everything(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker, receiver: OtlpReceiver
) -> None:
    tracing = TracedGateway(Spans(f"{receiver.url}/v1/traces", "gateway", 0.0), prompts=False)
    gateway = await start_gateway(make_report(worker.url), tracing=tracing)
    replies = [await gateway.ask("a poem", stream=stream) for stream in (False, True)]
    await sent(gateway, tracing)
    assert [reply.status for reply in replies] == [200, 200]
    assert receiver.spans == []


async def test_a_plan_of_several_calls_is_a_workflow_above_them(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    _samples(worker)
    reply = await gateway.ask("a poem", model="coe/self-moa", coe={"n": 2})
    await sent(gateway, traced)
    assert reply.status == 200, reply.body
    root, plan = receiver.one(ROOT), receiver.one("invoke_workflow self-moa")
    assert receiver.below(root) == ["route", "invoke_workflow self-moa"]
    assert receiver.below(plan) == ["chat poet", "chat poet"]
    assert plan.attributes == {
        "gen_ai.operation.name": "invoke_workflow",
        "gen_ai.provider.name": "coe",
        "gen_ai.workflow.name": "self-moa",
        "coe.request_id": reply.headers["x-request-id"],
        "coe.expert": "poet",
        "coe.plan.calls": 2,
        "coe.plan.notes": [],
    }
    sampling, merging = receiver.named("chat poet")
    assert sampling.attributes["gen_ai.request.choice.count"] == 2
    assert sampling.attributes["gen_ai.response.finish_reasons"] == ["stop", "stop"]
    assert sampling.attributes["gen_ai.usage.output_tokens"] == 3
    assert sampling.attributes["coe.request_id"] == f"{reply.headers['x-request-id']}-1"
    assert merging.attributes["coe.request_id"] == reply.headers["x-request-id"]
    assert plan.began <= sampling.began <= sampling.ended <= merging.began <= merging.ended <= plan.ended
    parents = [asked.headers["traceparent"].split("-")[2] for asked in worker.asked]
    assert parents == [sampling.id, merging.id]


@pytest.mark.parametrize("stream", [False, True])
async def test_calls_that_fail_inside_a_plan_fail_alone(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker, stream: bool
) -> None:
    _samples(worker, fails="generalist")
    reply = await gateway.ask("a poem", model="coe/moa", stream=stream)
    await sent(gateway, traced)
    assert reply.status == 200, reply.body
    plan = receiver.one("invoke_workflow moa")
    assert not plan.failed
    assert plan.attributes["coe.plan.notes"] == ["left_out=generalist:engine_died"]
    failed = receiver.one("chat generalist")
    assert (failed.failed, failed.attributes["error.type"]) == (True, "engine_died")
    assert not any(span.failed for span in receiver.named("chat poet"))
    assert len(receiver.below(plan)) == 3


async def test_a_call_that_is_refused_tells_why(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    worker.refuses(503, "engine_died")
    assert (await gateway.ask("a contract")).status == 503
    await sent(gateway, traced)
    call, root = receiver.one("chat generalist"), receiver.one(ROOT)
    assert (call.failed, call.attributes["error.type"]) == (True, "engine_died")
    assert (root.failed, root.attributes["error.type"]) == (True, "engine_died")
    assert root.attributes["http.response.status_code"] == 503


async def test_a_fallback_is_a_second_call(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    async def play(_: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if asked["model"] == "generalist":
            return web.Response(body=completion("generalist"), content_type="application/json")
        error = {"message": "loading", "type": "server_error", "param": None, "code": "expert_loading"}
        return web.json_response({"error": error}, status=503)

    worker._play = play
    assert (await gateway.ask("a poem")).status == 200
    await sent(gateway, traced)
    assert receiver.below(receiver.one(ROOT)) == ["route", "chat poet", "chat generalist"]
    assert receiver.one("chat poet").attributes["error.type"] == "expert_loading"
    assert not receiver.one("chat generalist").failed
    assert not receiver.one(ROOT).failed


async def test_what_the_client_did_wrong_is_no_failure_of_the_service(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver
) -> None:
    assert (await gateway.ask(model="nobody")).status == 404
    await sent(gateway, traced)
    root = receiver.one(ROOT)
    assert (root.failed, root.attributes["error.type"]) == (False, "model_not_found")
    assert receiver.spans == [root]


async def test_a_stream_that_breaks_off_is_a_failed_call(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    worker.dies(chunk("poet", "Hel"))
    assert (await gateway.ask("a poem", stream=True)).status == 200
    await sent(gateway, traced)
    assert receiver.one("chat poet").attributes["error.type"] == "worker_lost"
    root = receiver.one(ROOT)
    assert (root.failed, root.attributes["error.type"]) == (True, "worker_lost")


async def test_an_error_inside_a_stream_is_a_failed_call(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker
) -> None:
    error = b'data: {"error":{"message":"gone","type":"server_error","param":null,"code":"engine_died"}}\n\n'
    worker.streams(chunk("poet", "Hel"), error)
    await gateway.ask("a poem", stream=True)
    await sent(gateway, traced)
    call = receiver.one("chat poet")
    assert (call.failed, call.attributes["error.type"]) == (True, "engine_died")


@pytest.mark.parametrize("asked", [{"model": model, "stream": stream} for model in PLANS for stream in (False, True)])
async def test_a_client_that_leaves_ends_every_span(
    gateway: RunningGateway,
    traced: TracedGateway,
    receiver: OtlpReceiver,
    worker: ScriptedWorker,
    asked: dict[str, Any],
) -> None:
    worker.stalls(*([chunk("poet", "Hel")] if asked["stream"] else []))
    asking = asyncio.create_task(gateway.ask("a poem", **asked))
    await until(lambda: worker.running == 1)
    asking.cancel()
    await until(lambda: worker.aborted == 1)
    await sent(gateway, traced)
    assert receiver.one("chat poet").attributes["error.type"] == "cancelled"
    assert receiver.one(ROOT).attributes["http.response.status_code"] == 499
    if asked["model"] != "coe":
        assert receiver.one("invoke_workflow self-moa").attributes["error.type"] == "cancelled"


async def test_a_cached_answer_is_no_call(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker, receiver: OtlpReceiver, redis: object
) -> None:
    traced = TracedGateway(Spans(f"{receiver.url}/v1/traces", "gateway", None), prompts=False)
    cache = CacheConfig(mode="always")
    gateway = await start_gateway(make_report(worker.url), tracing=traced, redis=redis, cache=cache)
    await gateway.ask("a poem")
    await gateway.ask("a poem")
    await sent(gateway, traced)
    assert [root.attributes["coe.cache"] for root in receiver.named(ROOT)] == ["miss", "hit"]
    assert len(receiver.named("chat poet")) == 1


async def test_what_only_watches_the_service_is_not_traced(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver
) -> None:
    for path in ("/health", "/ready", "/metrics", "/v1/models"):
        await gateway.get(path)
    await gateway.post("/v1/route", {"messages": [{"role": "user", "content": "a poem"}]})
    await sent(gateway, traced)
    assert [span.name for span in receiver.spans] == ["POST /v1/route", "route"]


@pytest.mark.parametrize("prompts", [False, True])
async def test_texts_are_in_spans_only_where_the_configuration_says_so(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker, receiver: OtlpReceiver, prompts: bool
) -> None:
    tracing = TracedGateway(Spans(f"{receiver.url}/v1/traces", "gateway", None), prompts=prompts)
    gateway = await start_gateway(make_report(worker.url), tracing=tracing)
    worker.refuses(400)
    await gateway.ask("a poem about my secret")
    await sent(gateway, tracing)
    everything = str([(span.name, span.attributes) for span in receiver.spans])
    assert ("secret" in everything) == prompts
    if prompts:
        told = receiver.one("chat poet").attributes["gen_ai.input.messages"]
        parts = [{"type": "text", "content": "a poem about my secret"}]
        assert orjson.loads(str(told)) == [{"role": "user", "parts": parts}]


@pytest.mark.parametrize("status", [200, 503])
async def test_log_lines_carry_the_ids_of_the_span(
    gateway: RunningGateway, traced: TracedGateway, receiver: OtlpReceiver, worker: ScriptedWorker, status: int
) -> None:
    if status != 200:
        worker.refuses(status)
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        reply = await gateway.ask("a poem")
        await until(lambda: any(line["event"] == "request" for line in lines))
    await sent(gateway, traced)
    root = receiver.one(ROOT)
    assert len(lines) == (1 if status == 200 else 2)  # the fallback tells of itself
    for line in lines:
        assert line["request_id"] == reply.headers["x-request-id"]
        assert (line["trace_id"], line["span_id"]) == (root.trace, root.id)


async def test_without_tracing_a_line_carries_no_trace_and_the_worker_is_told_none(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker
) -> None:
    gateway = await start_gateway(make_report(worker.url))
    with structlog.testing.capture_logs(processors=[structlog.contextvars.merge_contextvars]) as lines:
        await gateway.ask("a poem")
        await until(lambda: bool(lines))
    assert "request_id" in lines[0]
    assert "trace_id" not in lines[0]
    assert "traceparent" not in worker.asked[0].headers


async def test_a_collector_that_is_away_costs_no_answer(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    tracing = TracedGateway(Spans("http://127.0.0.1:9/v1/traces", "gateway", None), prompts=False)
    gateway = await start_gateway(make_report(worker.url), tracing=tracing)
    replies = await asyncio.gather(*(gateway.ask("a poem", stream=bool(n % 2)) for n in range(20)))
    assert {reply.status for reply in replies} == {200}
    began = time.monotonic()
    await tracing.close(0.2)
    assert time.monotonic() - began < 2.0


def _samples(worker: ScriptedWorker, *, fails: str = "") -> None:
    """Streams as many finished samples as it is asked for, and merges."""

    async def play(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if asked["model"] == fails:
            error = {"message": "gone", "type": "server_error", "param": None, "code": "engine_died"}
            return web.json_response({"error": error}, status=500)
        if not asked.get("stream"):
            return web.Response(body=completion(asked["model"], "merged"), content_type="application/json")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for place in range(asked.get("n", 1)):
            choice = {"index": place, "delta": {"content": "One."}, "finish_reason": "stop"}
            frame = {"id": "c", "model": asked["model"], "choices": [choice]}
            await response.write(b"data: " + orjson.dumps(frame) + b"\n\n")
        await response.write(usage_chunk(asked["model"]) + DONE)
        return response

    worker._play = play
