"""`GET /v1/router`: the router in force, and whether its traffic has drifted."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from coe.gateway.decision import PromptRouter
from coe.gateway.drift_watch import DriftStatus, DriftWatch
from coe.gateway.exchange import Exchange
from routers.drift import SIGNALS


class RouterPage:
    """A Starlette endpoint. Drift is what the gateway that answers has seen."""

    def __init__(self, router: PromptRouter, drift: DriftWatch) -> None:
        self._router = router
        self._drift = drift

    async def router(self, request: Request) -> Response:
        Exchange.of(request.scope).endpoint = "/v1/router"
        card = await self._router.card()
        shown = {
            "version": card.version,
            "categories": card.categories,
            "reject_rate": card.reject_rate,
            "drift": _shown(self._drift.status(card)),
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
