"""`GET /v1/router`: the router that decides now, and whether its traffic has drifted."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from starlette.requests import Request
from starlette.responses import Response

from coe.gateway.drift_watch import DriftStatus, DriftWatch, RouterCard
from coe.gateway.exchange import Exchange
from routers.drift import SIGNALS


class RouterPage:
    """A Starlette endpoint. Drift is what the gateway that answers has seen."""

    def __init__(self, router: Callable[[], RouterCard], drift: DriftWatch) -> None:
        self._router = router
        self._drift = drift

    async def router(self, request: Request) -> Response:
        Exchange.of(request.scope).endpoint = "/v1/router"
        router = self._router()
        shown = {
            "version": router.version,
            "categories": router.categories,
            "reject_rate": router.reject_rate,
            "drift": _shown(self._drift.status(router)),
        }
        return Response(orjson.dumps(shown), media_type="application/json")


def _shown(status: DriftStatus) -> dict[str, object]:
    """Every key is always there; null where nothing was looked at yet."""
    reading = status.reading
    return {
        "window": status.window,
        "decisions": status.decisions,
        "rejection_ratio": reading.rejection_ratio if reading else None,
        "expected_rejection_ratio": reading.expected if reading else None,
        "psi": reading.psi if reading else None,
        "drifted": {signal: reading is not None and signal in reading.drifted for signal in SIGNALS},
    }
