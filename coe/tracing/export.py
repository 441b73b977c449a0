"""Spans on their way to a collector: ended ones in, OTLP over HTTP out, in a thread of their own.

A request only ever appends to a bounded queue. Where the collector is away or slow, spans are lost and counted, and the
log tells of it once.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import Tracer

from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import TRACE_SPANS

log = get_logger("coe.tracing")


class Spans:
    """Makes spans, and sends them. One per process; it is not OpenTelemetry's global one, which is left to others.

    Args:
        url: of the collector, with its path.
        component: `gateway` or `worker`; the service's name is `coe-` and this, unless `OTEL_SERVICE_NAME` has another.
        sample_ratio: share of the traces begun here that are recorded, in [0, 1]; None: as `OTEL_TRACES_SAMPLER` says,
            else all. Traces begun elsewhere are recorded where they are there.
    """

    def __init__(self, url: str, component: str, sample_ratio: float | None) -> None:
        resource = Resource.create(
            {
                "service.name": os.environ.get("OTEL_SERVICE_NAME") or f"coe-{component}",
                "service.version": version("coe"),
                "process.pid": os.getpid(),
            }
        )
        sampler = None if sample_ratio is None else ParentBased(TraceIdRatioBased(sample_ratio))
        self._provider = TracerProvider(sampler=sampler, resource=resource, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(_ToldExporter(OTLPSpanExporter(endpoint=url), url)))

    @property
    def tracer(self) -> Tracer:
        return self._provider.get_tracer("coe", version("coe"))

    async def close(self, timeout_s: float) -> None:
        """Sends what is waiting, and nothing after it. Sending has no bound, so it is left alone after `timeout_s`."""
        sent, loop = asyncio.Event(), asyncio.get_running_loop()

        def send() -> None:
            self._provider.shutdown()
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(sent.set)

        threading.Thread(target=send, name="close-spans", daemon=True).start()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await sent.wait()


class _ToldExporter(SpanExporter):
    """Counts what the collector took, and logs when it stops taking anything and when it does so again."""

    def __init__(self, exporter: SpanExporter, url: str) -> None:
        self._exporter = exporter
        self._url = url
        self._away = False

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        lost = result is not SpanExportResult.SUCCESS
        TRACE_SPANS.labels("lost" if lost else "sent").inc(len(spans))
        if lost and not self._away:
            log.warning("the collector does not take spans; they are lost", url=self._url)
        elif self._away and not lost:
            log.info("the collector takes spans again", url=self._url)
        self._away = lost
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        return self._exporter.force_flush(timeout_millis)
