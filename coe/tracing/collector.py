"""Where spans go: the configuration and OpenTelemetry's variables in, a URL out, or None where nothing is traced."""

from __future__ import annotations

from collections.abc import Mapping

from coe.config.models import TelemetryConfig

PREFIX = "OTEL_"
_PATH = "/v1/traces"


def collector_url(config: TelemetryConfig, environment: Mapping[str, str]) -> str | None:
    """Of OTLP over HTTP, for traces. The configuration goes before the variables; `OTEL_SDK_DISABLED` before both."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    if config.otlp_endpoint:
        return config.otlp_endpoint.rstrip("/") + _PATH
    if exact := environment.get("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"):
        return exact
    base = environment.get("OTEL_EXPORTER_OTLP_ENDPOINT")
    return base.rstrip("/") + _PATH if base else None
