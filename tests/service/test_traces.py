"""A request's trace through every process of a service, as a collector receives it."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from tests.otlp_receiver import receiving
from tests.service.running import run_service
from tests.service.test_faults import ScriptedEngine, attached_config

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
NOT_BEFORE_THE_END = {"OTEL_BSP_SCHEDULE_DELAY": "600000"}


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine()
    yield engine
    engine.close()


def test_a_clients_trace_goes_through_gateway_and_worker_and_is_sent_when_the_service_stops(
    engine: ScriptedEngine, tmp_path: Path
) -> None:
    log = tmp_path / "coe.log"
    config = {**attached_config(engine), "logs": {"level": "debug", "file": str(log)}}
    with receiving() as receiver:
        collector = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, **NOT_BEFORE_THE_END}
        with run_service(tmp_path, config, **collector) as service:
            body = {"model": "coe", "messages": [{"role": "user", "content": "Are you there?"}]}
            headers = {"traceparent": f"00-{TRACE}-{SPAN}-01", "x-request-id": "asked-once"}
            reply = httpx.post(f"{service.url}/v1/chat/completions", json=body, headers=headers, timeout=30)
            assert reply.status_code == 200
            assert list(receiver.spans) == []
        root, call, serve = (
            receiver.one(name) for name in ("POST /v1/chat/completions", "chat steady", "serve steady")
        )
    assert {span.trace for span in receiver.spans} == {TRACE}
    assert [span.parent for span in (root, call, serve)] == [SPAN, root.id, call.id]
    assert [span.service for span in (root, call, serve)] == ["coe-gateway", "coe-gateway", "coe-worker"]
    assert {span.attributes["coe.request_id"] for span in (root, call, serve)} == {"asked-once"}

    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    told = {line["component"]: line for line in lines if line.get("request_id") == "asked-once"}
    assert told.keys() == {"gateway", "worker"}
    assert {line["trace_id"] for line in told.values()} == {TRACE}
    assert (told["gateway"]["span_id"], told["worker"]["span_id"]) == (root.id, call.id)
