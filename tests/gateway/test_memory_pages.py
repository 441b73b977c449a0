"""What a client sees of swaps and demand."""

import asyncio

import pytest
from redis.asyncio import Redis

from coe.store.swaps import SwapLog
from tests.running_gateway import StartGateway
from workers.reports import SwapReport


async def test_swaps_are_shown_the_newest_first(start_gateway: StartGateway, redis: Redis) -> None:
    gateway = await start_gateway(redis=redis)
    swaps = [SwapReport(number=n, at=100.0 + n, model="base", tier="disk", evicted=("x",), seconds=2) for n in (1, 2)]
    await gateway.swaps.add("w-0", 7, swaps)
    shown = (await gateway.get("/v1/swaps")).json()["swaps"]
    assert [swap["number"] for swap in shown] == [2, 1]
    assert shown[0] == {
        "worker": "w-0",
        "epoch": 7,
        "number": 2,
        "at": 102.0,
        "model": "base",
        "tier": "disk",
        "evicted": ["x"],
        "seconds": 2,
        "error": None,
    }
    assert len((await gateway.get("/v1/swaps?limit=1")).json()["swaps"]) == 1


@pytest.mark.parametrize("limit", ["0", "-1", "many", "10001", "", "²", "1" * 5000])
async def test_a_limit_that_is_none_is_told(start_gateway: StartGateway, redis: Redis, limit: str) -> None:
    gateway = await start_gateway(redis=redis)
    reply = await gateway.send("GET", "/v1/swaps", params={"limit": limit})
    assert (reply.status, reply.error["param"]) == (400, "limit")


@pytest.mark.parametrize("path", ["/v1/swaps", "/v1/demand"])
async def test_without_redis_there_is_nothing_to_tell(start_gateway: StartGateway, path: str) -> None:
    gateway = await start_gateway()
    reply = await gateway.get(path)
    assert (reply.status, reply.error["code"]) == (503, "redis_unavailable")
    assert "retry-after" in reply.headers


async def test_a_read_that_hangs_is_given_up(
    start_gateway: StartGateway, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hang(*_: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("coe.gateway.stored.READ_TIMEOUT_S", 0.05)
    monkeypatch.setattr(SwapLog, "latest", hang)
    gateway = await start_gateway(redis=redis)
    assert (await gateway.get("/v1/swaps")).status == 503
