"""The log line of a request that a worker has served."""

from __future__ import annotations

from dataclasses import replace

import pytest
import structlog

from coe.telemetry.served import ServedLog
from coe.tracing.hooks import NoTracing
from workers.port.serving import Serving
from workers.reports import SwapReport

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
SWAP = SwapReport(number=7, at=1.0, model="base", tier="disk")
SERVED = Serving("r-1", (), began=10.0, ended=12.5, expert="poet", status=200, tier="device")


def line(serving: Serving) -> dict[str, object]:
    with structlog.testing.capture_logs() as lines:
        ServedLog("w-0", NoTracing()).served(serving)
    (found,) = lines
    return dict(found)


def test_it_carries_the_request_and_what_became_of_it() -> None:
    found = line(replace(SERVED, trace=(("traceparent", f"00-{TRACE}-{SPAN}-01"),), waited_s=2.0, swap=SWAP))
    assert (found.pop("log_level"), found.pop("module")) == ("info", "coe.worker")
    assert found == {
        "event": "request",
        "request_id": "r-1",
        "worker": "w-0",
        "expert": "poet",
        "status": 200,
        "tier": "device",
        "waited_s": 2.0,
        "swap": 7,
        "duration_s": 2.5,
        "error": None,
        "trace_id": TRACE,
        "span_id": SPAN,
    }


@pytest.mark.parametrize(
    ("serving", "level"),
    [
        (SERVED, "debug"),
        (replace(SERVED, swap=SWAP), "info"),
        (replace(SERVED, status=503, error="engine_died"), "info"),
    ],
)
def test_what_simply_ran_is_told_for_debugging_alone(serving: Serving, level: str) -> None:
    assert line(serving)["log_level"] == level
