"""`GET /v1/swaps` and `GET /v1/demand`: what moved in the workers' memories, and what was asked for, from Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import orjson
from starlette.requests import Request
from starlette.responses import Response

from coe.errors import InvalidRequestError, UnavailableError
from coe.gateway.exchange import Exchange
from coe.store.client import STORE_ERRORS
from coe.store.demand import DemandCounts
from coe.store.swaps import MAX_SWAPS, SwapLog

DEFAULT_LIMIT = 100
READ_TIMEOUT_S = 2.0
RETRY_AFTER_S = 5.0
Found = TypeVar("Found")


class MemoryPages:
    """Starlette endpoints."""

    def __init__(self, swaps: SwapLog, demand: DemandCounts) -> None:
        self._swaps = swaps
        self._demand = demand

    async def swaps(self, request: Request) -> Response:
        """The latest swaps of all workers, the newest first; `?limit=N` of them."""
        Exchange.of(request.scope).endpoint = "/v1/swaps"
        found = await _read(self._swaps.latest(_limit(request.query_params.get("limit"))))
        return _json({"swaps": found})

    async def demand(self, request: Request) -> Response:
        """Requests by expert, each weighing half as much after every half-life; the most wanted first."""
        Exchange.of(request.scope).endpoint = "/v1/demand"
        counts = await _read(self._demand.read())
        ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        experts = {name: round(count, 3) for name, count in ordered}
        return _json({"half_life_s": self._demand.half_life_s, "experts": experts})


def _limit(given: str | None) -> int:
    if given is None:
        return DEFAULT_LIMIT
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= MAX_SWAPS):
        raise InvalidRequestError(f"`limit` must be a number from 1 to {MAX_SWAPS}.", param="limit")
    return int(given)


async def _read(found: Coroutine[Any, Any, Found]) -> Found:
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await found
    except STORE_ERRORS as error:
        raise UnavailableError(
            "This is kept in Redis, which is away now. Ask again soon; answers go on without it.",
            code="redis_unavailable",
            retry_after_s=RETRY_AFTER_S,
        ) from error


def _json(content: object) -> Response:
    return Response(orjson.dumps(content), media_type="application/json")
