"""Where spans go."""

import pytest

from coe.config.models import TelemetryConfig
from coe.tracing.collector import collector_url

CONFIGURED = TelemetryConfig(otlp_endpoint="http://tempo:4318/")
BASE = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://base:4318"}
EXACT = {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://exact:4318/own/path"}


@pytest.mark.parametrize(
    ("config", "environment", "url"),
    [
        (TelemetryConfig(), {}, None),
        (TelemetryConfig(sample_ratio=1.0), {}, None),
        (CONFIGURED, {}, "http://tempo:4318/v1/traces"),
        (TelemetryConfig(), BASE, "http://base:4318/v1/traces"),
        (TelemetryConfig(), BASE | EXACT, "http://exact:4318/own/path"),
        (CONFIGURED, BASE | EXACT, "http://tempo:4318/v1/traces"),
        (CONFIGURED, {"OTEL_SDK_DISABLED": "true"}, None),
        (CONFIGURED, {"OTEL_SDK_DISABLED": "false"}, "http://tempo:4318/v1/traces"),
    ],
)
def test_the_configuration_goes_before_the_variables(
    config: TelemetryConfig, environment: dict[str, str], url: str | None
) -> None:
    assert collector_url(config, environment) == url
