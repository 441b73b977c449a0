"""Configuration in, tracing out: of a gateway, or of a worker. Without a collector OpenTelemetry is not imported."""

from __future__ import annotations

import os

from coe.config.models import Config
from coe.tracing.collector import collector_url
from coe.tracing.hooks import GatewayTracing, NoTracing, WorkerTracing


def open_gateway_tracing(config: Config) -> GatewayTracing:
    url = collector_url(config.telemetry, os.environ)
    if url is None:
        return NoTracing()
    from coe.tracing.export import Spans  # noqa: PLC0415  # imports OpenTelemetry
    from coe.tracing.gateway import TracedGateway  # noqa: PLC0415  # the same

    spans = Spans(url, "gateway", config.telemetry.sample_ratio)
    return TracedGateway(spans, prompts=config.logs.prompts)


def open_worker_tracing(config: Config, worker_id: str) -> WorkerTracing:
    url = collector_url(config.telemetry, os.environ)
    if url is None:
        return NoTracing()
    from coe.tracing.export import Spans  # noqa: PLC0415  # imports OpenTelemetry
    from coe.tracing.worker import TracedWorker  # noqa: PLC0415  # the same

    return TracedWorker(Spans(url, "worker", config.telemetry.sample_ratio), worker_id)
