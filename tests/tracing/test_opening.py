"""Whether a service traces, in processes of its own: what was imported once cannot be seen to be absent."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

CONFIG = """
import sys
from coe.config.models import Config
config = Config.model_validate({
    "router": {"path": "r", "general": "g"}, "models": {"m": {"source": "path:m"}},
    "experts": {"g": {"model": "m"}}, "workers": {"w": {}}, "telemetry": %s,
})
"""
# redis-py, and Ray, which is left out here, take what they find of OpenTelemetry for themselves.
OPEN = """
import redis.asyncio
before = {name for name in sys.modules if name.startswith("opentelemetry")}
import coe.gateway.chat, coe.gateway.envelope, coe.plan.executor, coe.plan.worker_expert, coe.telemetry.served
import workers.worker
from coe.tracing.opening import open_gateway_tracing, open_worker_tracing
gateway, worker = open_gateway_tracing(config), open_worker_tracing(config, "w-0")
print(type(gateway).__name__, type(worker).__name__)
"""
IMPORTED = """
part = object()
print(all(wrap(part) is part for wrap in (gateway.app, gateway.router, gateway.runner, gateway.expert)))
print([name for name in sys.modules if name.startswith("opentelemetry") and name not in before])
print("opentelemetry.sdk.trace" in sys.modules)
"""


def told(telemetry: str, script: str, **environment: str) -> list[str]:
    """What the script prints in a fresh interpreter."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    command = [sys.executable, "-c", CONFIG % telemetry + script]
    done = subprocess.run(command, env=kept | environment, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split()


def test_without_a_collector_opentelemetry_is_not_imported_and_nothing_is_wrapped() -> None:
    assert told("{'sample_ratio': 1.0}", OPEN + IMPORTED) == ["NoTracing", "NoTracing", "True", "[]", "False"]


@pytest.mark.parametrize(
    ("telemetry", "environment"),
    [
        ("{'otlp_endpoint': 'http://127.0.0.1:9'}", {}),
        ("{}", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}),
    ],
)
def test_a_collector_makes_both_trace(telemetry: str, environment: dict[str, str]) -> None:
    assert told(telemetry, OPEN, **environment) == ["TracedGateway", "TracedWorker"]
