"""`GET /v1/decisions`: what was decided lately, from Redis."""

from __future__ import annotations

from dataclasses import replace

import orjson
from starlette.requests import Request
from starlette.responses import Response

from coe.gateway.admin import AdminGuard
from coe.gateway.exchange import Exchange
from coe.gateway.stored import read_limit, read_stored
from coe.store.decision_log import MAX_RECENT, DecisionLog


class DecisionsPage:
    """A Starlette endpoint. Texts of prompts, where they are kept, are for those who may change experts."""

    def __init__(self, decisions: DecisionLog, guard: AdminGuard) -> None:
        self._decisions = decisions
        self._guard = guard

    async def decisions(self, request: Request) -> Response:
        """The latest decisions of all gateways, the newest first; `?limit=N` of them."""
        Exchange.of(request.scope).endpoint = "/v1/decisions"
        found = await read_stored(self._decisions.latest(read_limit(request, MAX_RECENT)))
        withheld = not self._guard.permits(request.headers) and any(each.prompt is not None for each in found)
        shown = [replace(each, prompt=None) for each in found] if withheld else found
        return Response(
            orjson.dumps({"decisions": shown, "prompts_withheld": withheld}),
            media_type="application/json",
            headers={"cache-control": "no-store"},
        )
