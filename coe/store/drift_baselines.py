"""What was usual for a router, in Redis: one baseline per router version, that of the first gateway to have one."""

from __future__ import annotations

import orjson
from pydantic import TypeAdapter, ValidationError
from redis.asyncio import Redis

from routers.drift import DecisionCounts

_COUNTS = TypeAdapter(DecisionCounts)


class DriftBaselines:
    """Raises `STORE_ERRORS` when Redis is away."""

    def __init__(self, client: Redis, namespace: str) -> None:
        self._client = client
        self._prefix = f"{namespace}:drift:baseline:"

    async def agree(self, router_version: str, own: DecisionCounts) -> DecisionCounts:
        """The baseline of all gateways: `own` where none was there. It is written once and never changed."""
        key = self._prefix + router_version
        pipeline = self._client.pipeline(transaction=False)  # its awaits queue; execute sends
        await pipeline.set(key, orjson.dumps(own), nx=True)
        await pipeline.get(key)
        _, stored = await pipeline.execute()
        try:
            return _COUNTS.validate_json(stored)
        except ValidationError:  # written by another version of this service
            return own
