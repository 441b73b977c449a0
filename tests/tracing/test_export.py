"""Spans on their way to a collector that is there, away, or slow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest
import structlog
from prometheus_client import REGISTRY

from coe.tracing.export import Spans
from tests.otlp_receiver import OtlpReceiver
from tests.tracing.conftest import SENT_S

DELAY_S = 0.05


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Spans are sent after a moment, and once."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", str(int(DELAY_S * 1000)))
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")


def spans(receiver: OtlpReceiver) -> Spans:
    return Spans(f"{receiver.url}/v1/traces", "gateway", None)


def counted(result: str) -> float:
    return REGISTRY.get_sample_value("coe_trace_spans_total", {"result": result}) or 0.0


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(SENT_S):
        while not condition():  # noqa: ASYNC110  a thread cannot tell
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("soon")
async def test_spans_are_sent_in_the_background(receiver: OtlpReceiver) -> None:
    before = counted("sent")
    sending = spans(receiver)
    sending.tracer.start_span("one").end()
    await eventually(lambda: len(receiver.spans) == 1)
    await eventually(lambda: counted("sent") == before + 1)
    await sending.close(SENT_S)


async def test_closing_sends_what_waits(receiver: OtlpReceiver) -> None:
    sending = spans(receiver)
    for number in range(1000):
        sending.tracer.start_span(str(number)).end()
    await sending.close(SENT_S)
    assert len(receiver.spans) == 1000


@pytest.mark.usefixtures("soon")
async def test_an_outage_is_counted_and_told_once_and_so_is_its_end(receiver: OtlpReceiver) -> None:
    receiver.status, before = 400, counted("lost")
    sending = spans(receiver)
    with structlog.testing.capture_logs() as lines:
        for number in (1, 2):
            sending.tracer.start_span("lost").end()
            await eventually(lambda number=number: counted("lost") == before + number)  # type: ignore[misc]  # mypy cannot infer a lambda with a default
        receiver.status = 200
        sending.tracer.start_span("sent").end()
        await eventually(lambda: len(receiver.spans) == 1)
        await sending.close(SENT_S)
    told = [line["event"] for line in lines]
    assert told == ["the collector does not take spans; they are lost", "the collector takes spans again"]


async def test_closing_waits_no_longer_than_it_may_for_a_collector_that_hangs(receiver: OtlpReceiver) -> None:
    receiver.answers.clear()
    sending = spans(receiver)
    sending.tracer.start_span("late").end()
    began = time.monotonic()
    await sending.close(0.2)
    receiver.answers.set()
    assert time.monotonic() - began < 2.0


async def test_a_request_never_waits_for_a_full_queue(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")
    receiver.answers.clear()
    sending = spans(receiver)
    began = time.monotonic()
    for number in range(1000):
        sending.tracer.start_span(str(number)).end()
    taken_s = time.monotonic() - began
    receiver.answers.set()
    await sending.close(SENT_S)
    assert taken_s < 2.0
    assert len(receiver.spans) < 1000


async def test_the_services_name_can_be_another(receiver: OtlpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop-models")
    sending = spans(receiver)
    sending.tracer.start_span("one").end()
    await sending.close(SENT_S)
    assert receiver.one("one").service == "shop-models"
