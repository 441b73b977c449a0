"""`GET /v1/swaps` and `GET /v1/demand`: what moved in the workers' memories, and what was asked for, from Redis."""

from __future__ import annotations

import orjson
from starlette.requests import Request
from starlette.responses import Response

from coe.gateway.exchange import Exchange
from coe.gateway.stored import read_limit, read_stored
from coe.store.demand import DemandCounts
from coe.store.swaps import MAX_SWAPS, SwapLog


class MemoryPages:
    """Starlette endpoints."""

    def __init__(self, swaps: SwapLog, demand: DemandCounts) -> None:
        self._swaps = swaps
        self._demand = demand

    async def swaps(self, request: Request) -> Response:
        """The latest swaps of all workers, the newest first; `?limit=N` of them."""
        Exchange.of(request.scope).endpoint = "/v1/swaps"
        found = await read_stored(self._swaps.latest(read_limit(request, MAX_SWAPS)))
        return _json({"swaps": found})

    async def demand(self, request: Request) -> Response:
        """Requests by expert, each weighing half as much after every half-life; the most wanted first."""
        Exchange.of(request.scope).endpoint = "/v1/demand"
        counts = await read_stored(self._demand.read())
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        experts = {name: round(count, 3) for name, count in ordered}
        return _json({"half_life_s": self._demand.half_life_s, "experts": experts})


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
