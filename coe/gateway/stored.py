"""Reading what Redis keeps for an endpoint: a `limit` and a read in, what was found or an error with its remedy out."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from coe.errors import InvalidRequestError, UnavailableError
from coe.store.client import STORE_ERRORS

DEFAULT_LIMIT = 100
READ_TIMEOUT_S = 2.0
RETRY_AFTER_S = 5.0
Found = TypeVar("Found")


def read_limit(request: Request, most: int) -> int:
    """`?limit=N`, 100 where it is not given. Raises InvalidRequestError: it is no number from 1 to `most`."""
    given = request.query_params.get("limit")
    if given is None:
        return DEFAULT_LIMIT
    whole = given.isascii() and given.isdigit() and len(given) <= len(str(most))  # `int` raises at thousands of digits
    if not (whole and 1 <= int(given) <= most):
        raise InvalidRequestError(f"`limit` must be a number from 1 to {most}.", param="limit")
    return int(given)


async def read_stored(found: Coroutine[Any, Any, Found]) -> Found:
    """Raises UnavailableError: Redis is away, or took longer than two seconds."""
    try:
        async with asyncio.timeout(READ_TIMEOUT_S):
            return await found
    except STORE_ERRORS as error:
        raise UnavailableError(
            "This is kept in Redis, which is away now. Ask again soon; answers go on without it.",
            code="redis_unavailable",
            retry_after_s=RETRY_AFTER_S,
        ) from error
