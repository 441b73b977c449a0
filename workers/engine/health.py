"""Whether an OpenAI server answers: a session and its address go in; yes or no, or the moment of change, comes out."""

import asyncio

import aiohttp

_START_PERIOD_S = 0.25
_WATCH_PERIOD_S = 5.0
_TIMEOUT_S = 10.0
_PATIENCE_S = 60.0  # an engine on a busy CPU may be this slow and yet live


async def is_healthy(session: aiohttp.ClientSession, base_url: str, *, timeout_s: float = _TIMEOUT_S) -> bool:
    """True if `/health` answers 200, or, where the server has no such page, `/v1/models` does."""
    timeout = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.get(f"{base_url}/health", timeout=timeout) as response:
            if response.status != 404:
                return response.status == 200
        async with session.get(f"{base_url}/v1/models", timeout=timeout) as response:
            return response.status == 200
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False


async def until_healthy(session: aiohttp.ClientSession, base_url: str) -> None:
    """Return once the server is healthy; the deadline is the caller's."""
    while True:
        if await is_healthy(session, base_url):
            return
        await asyncio.sleep(_START_PERIOD_S)


async def until_unhealthy(
    session: aiohttp.ClientSession, base_url: str, *, period_s: float = _WATCH_PERIOD_S, patience_s: float = _PATIENCE_S
) -> None:
    """Return once the server has not been healthy for `patience_s` seconds on end."""
    loop = asyncio.get_running_loop()
    healthy_at = loop.time()
    while loop.time() - healthy_at < patience_s:
        await asyncio.sleep(period_s)
        if await is_healthy(session, base_url):
            healthy_at = loop.time()
