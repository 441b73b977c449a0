"""What the tests of traces share: a collector, and gateways and workers that send to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from coe.tracing.export import Spans
from coe.tracing.gateway import TracedGateway
from tests.otlp_receiver import OtlpReceiver, receiving

SENT_S = 10.0


@pytest.fixture
def receiver() -> Iterator[OtlpReceiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def traced(receiver: OtlpReceiver) -> TracedGateway:
    """Sends to the collector at `close`."""
    return TracedGateway(Spans(f"{receiver.url}/v1/traces", "gateway", None), prompts=False)
