"""The ids that log lines carry."""

import pytest

from coe.tracing.traceparent import trace_ids

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


def test_both_ids_are_read() -> None:
    assert trace_ids({"traceparent": f"00-{TRACE}-{SPAN}-01"}) == {"trace_id": TRACE, "span_id": SPAN}
    assert trace_ids({"traceparent": f"cc-{TRACE}-{SPAN}-01-what-comes-later"})["span_id"] == SPAN


@pytest.mark.parametrize(
    "value", ["", "00", f"00-{TRACE}-{SPAN}", f"00-{TRACE.upper()}-{SPAN}-01", f"00-{SPAN}-{TRACE}-01"]
)
def test_what_is_malformed_has_none(value: str) -> None:
    assert trace_ids({"traceparent": value}) == {}


def test_without_the_header_there_are_none() -> None:
    assert trace_ids({}) == {}
