"""The spans of a worker, and of a whole way from a client through a gateway to a worker that swaps."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from coe.telemetry.served import ServedLog
from coe.tracing.export import Spans
from coe.tracing.gateway import TracedGateway
from coe.tracing.worker import TracedWorker
from tests.otlp_receiver import OtlpReceiver
from tests.running_gateway import TOKEN, StartGateway
from tests.scripted_worker import until
from tests.tracing.conftest import SENT_S
from workers.engine.server import Launch
from workers.port.serving import Serving
from workers.reports import SwapReport
from workers.spec import ExpertSpec, MemorySpec, ModelSpec, WorkerSpec
from workers.worker import ExpertWorker

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
ABOVE = (("traceparent", f"00-{TRACE}-{SPAN}-01"),)
GIB = 2**30
ENGINE = Path(__file__).parents[1] / "workers" / "scripted_engine.py"
NOW = time.time()
SERVED = Serving(
    request_id="r-1",
    trace=ABOVE,
    began=NOW - 3,
    ended=NOW,
    expert="poet",
    status=200,
    tier="disk",
    waited_s=2.0,
    swap=SwapReport(number=7, at=NOW - 1, model="base", tier="disk", evicted=("other",), seconds=1.5),
)


@pytest.fixture
def traced(receiver: OtlpReceiver) -> TracedWorker:
    return TracedWorker(Spans(f"{receiver.url}/v1/traces", "worker", None), "w-0")


async def test_a_request_and_its_swap_are_spans_of_the_callers_trace(
    traced: TracedWorker, receiver: OtlpReceiver
) -> None:
    traced.served(SERVED)
    await traced.close(SENT_S)
    serve, swap = receiver.one("serve poet"), receiver.one("swap base")
    assert (serve.trace, serve.parent, serve.kind, serve.service) == (TRACE, SPAN, "SERVER", "coe-worker")
    assert serve.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 200,
        "coe.worker": "w-0",
        "coe.expert": "poet",
        "coe.request_id": "r-1",
        "coe.tier": "disk",
        "coe.waited_s": 2.0,
    }
    assert (swap.trace, swap.parent) == (TRACE, serve.id)
    assert swap.attributes == {
        "coe.worker": "w-0",
        "coe.swap.model": "base",
        "coe.swap.tier": "disk",
        "coe.swap.evicted": ["other"],
        "coe.swap.number": 7,
    }
    assert (serve.ended - serve.began) / 1e9 == pytest.approx(3, abs=0.001)
    assert (swap.ended - swap.began) / 1e9 == pytest.approx(1.5, abs=0.001)
    assert not serve.failed
    assert not swap.failed


@pytest.mark.parametrize(
    ("status", "error", "failed"), [(503, "engine_died", True), (200, "engine_died", True), (429, "queue_full", False)]
)
async def test_a_failure_is_told_by_its_code(
    traced: TracedWorker, receiver: OtlpReceiver, status: int, error: str, failed: bool
) -> None:
    traced.served(replace(SERVED, status=status, error=error, tier=None, swap=None))
    await traced.close(SENT_S)
    serve = receiver.one("serve poet")
    assert (serve.attributes["error.type"], serve.failed) == (error, failed)


async def test_a_failed_swap_is_a_failed_span(traced: TracedWorker, receiver: OtlpReceiver) -> None:
    assert SERVED.swap is not None
    traced.served(replace(SERVED, status=503, error="expert_unavailable", swap=replace(SERVED.swap, error="torn")))
    await traced.close(SENT_S)
    assert receiver.one("swap base").failed


@pytest.mark.parametrize("trace", [(), (("traceparent", f"00-{TRACE}-{SPAN}-00"),)])
async def test_a_request_that_nobody_traces_gets_no_span(
    traced: TracedWorker, receiver: OtlpReceiver, trace: tuple[tuple[str, str], ...]
) -> None:
    traced.served(replace(SERVED, trace=trace))
    await traced.close(SENT_S)
    assert receiver.spans == []


# The whole way


def command(launch: Launch) -> list[str]:
    """A scripted engine."""
    return [sys.executable, str(ENGINE), "--socket", str(launch.socket), "--served", launch.model.base_name]


@pytest.fixture
async def swapping(tmp_path: Path, receiver: OtlpReceiver) -> AsyncIterator[tuple[ExpertWorker, TracedWorker]]:
    """A worker with room for one of its models: the generalist's is there, the poet's is not."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    models = tuple(
        ModelSpec(name=f"{name}-base", source=f"path:{tmp_path / 'model'}", device_bytes=GIB)
        for name in ("generalist", "poet")
    )
    spec = WorkerSpec(
        group="g",
        device="cpu",
        models=models,
        experts=tuple(ExpertSpec(name=model.name.removesuffix("-base"), model=model.name) for model in models),
        cache_dir=tmp_path / "cache",
        run_dir=tmp_path / "run",
        token=TOKEN,
        drain_timeout_s=0.5,
        memory=MemorySpec(device_bytes=GIB),
    )
    tracing = TracedWorker(Spans(f"{receiver.url}/v1/traces", "worker", None), "w-0")
    on_served = ServedLog("w-0", tracing).served
    worker = ExpertWorker(spec, worker_id="w-0", command=command, on_served=on_served)
    await worker.start()
    try:
        await worker.wait_ready(20)
        yield worker, tracing
    finally:
        await worker.stop()


async def test_a_request_that_waits_for_a_swap_is_one_trace_through_gateway_and_worker(
    start_gateway: StartGateway, receiver: OtlpReceiver, swapping: tuple[ExpertWorker, TracedWorker]
) -> None:
    worker, of_worker = swapping
    of_gateway = TracedGateway(Spans(f"{receiver.url}/v1/traces", "gateway", None), prompts=False)
    gateway = await start_gateway(worker.report(), tracing=of_gateway)
    reply = await gateway.ask("a poem")
    assert reply.status == 200, reply.body
    await until(lambda: not gateway.chat._running)
    await asyncio.gather(of_gateway.close(SENT_S), of_worker.close(SENT_S))
    root, call = receiver.one("POST /v1/chat/completions"), receiver.one("chat poet")
    serve, swap = receiver.one("serve poet"), receiver.one("swap poet-base")
    assert {span.trace for span in receiver.spans} == {root.trace}
    assert [span.parent for span in (call, serve, swap)] == [root.id, call.id, serve.id]
    assert (serve.service, swap.service, call.service) == ("coe-worker", "coe-worker", "coe-gateway")
    assert swap.attributes["coe.swap.evicted"] == ["generalist-base"]
    assert call.began <= serve.began <= swap.ended <= serve.ended
    assert call.attributes["coe.swap_ms"] == pytest.approx(float(str(serve.attributes["coe.waited_s"])) * 1000, abs=0.1)
