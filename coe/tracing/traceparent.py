"""The W3C header `traceparent`: its text in, the two ids that log lines carry out. Knows nothing of OpenTelemetry."""

from __future__ import annotations

import re
from collections.abc import Mapping

_FORM = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?")


def trace_ids(headers: Mapping[str, str]) -> dict[str, str]:
    """`trace_id` and `span_id` as lower-case hexadecimal digits; empty where the header is absent or malformed."""
    found = _FORM.fullmatch(headers.get("traceparent", ""))
    return {"trace_id": found[1], "span_id": found[2]} if found else {}
