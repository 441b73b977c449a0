"""Worker reports between processes: a report goes in as bytes of JSON, and comes out of them."""

import orjson

from workers.errors import SpecError
from workers.reports import EngineReport, ExpertReport, SwapReport, WorkerReport


def report_to_json(report: WorkerReport) -> bytes:
    """As `report_from_json` reads it."""
    return orjson.dumps(report)


def report_from_json(data: bytes) -> WorkerReport:
    """Raises `SpecError` where `data` is not a report."""
    try:
        raw = orjson.loads(data)
        experts = tuple(ExpertReport(**expert) for expert in raw.pop("experts"))
        engines = tuple(EngineReport(**engine) for engine in raw.pop("engines"))
        swaps = tuple(SwapReport(**{**swap, "evicted": tuple(swap["evicted"])}) for swap in raw.pop("swaps"))
        return WorkerReport(experts=experts, engines=engines, swaps=swaps, **raw)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise SpecError(f"this is no worker report ({error}); were both sides updated?") from error
