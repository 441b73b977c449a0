"""One way to open Redis: short deadlines, so that a Redis that is gone never holds a request."""

from __future__ import annotations

from redis.asyncio import Redis
from redis.exceptions import RedisError

STORE_ERRORS = (RedisError, OSError, TimeoutError)
"""What any call may raise when Redis is away; callers go on without it."""


def open_redis(url: str) -> Redis:
    """A client that connects on first use. `url` is `redis://`, `rediss://` or `unix://`."""
    return Redis.from_url(url, socket_timeout=2.0, socket_connect_timeout=1.0, health_check_interval=30)
