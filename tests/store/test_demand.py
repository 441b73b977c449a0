import asyncio

import pytest
from redis.asyncio import Redis

from coe.store.client import STORE_ERRORS
from coe.store.demand import DemandCounts, decayed


def test_a_request_weighs_half_after_a_half_life() -> None:
    assert decayed(8, 0, 60) == 8
    assert decayed(8, 60, 60) == 4
    assert decayed(8, 180, 60) == 1
    assert decayed(8, -1, 60) == 8  # a clock that was set back


async def test_what_several_gateways_count_is_added(redis: Redis, namespace: str) -> None:
    one, other = DemandCounts(redis, namespace), DemandCounts(redis, namespace)
    await one.add({"poet": 2, "clerk": 0.5})
    await other.add({"poet": 3})
    assert await one.read() == pytest.approx({"poet": 5, "clerk": 0.5}, rel=1e-3)


async def test_counts_decay_by_the_clock_of_redis(redis: Redis, namespace: str) -> None:
    counts = DemandCounts(redis, namespace, half_life_s=0.2)
    await counts.add({"poet": 100})
    await asyncio.sleep(0.4)
    left = (await counts.read())["poet"]
    assert 5 < left < 26  # two half-lives, and what a busy machine adds
    assert await counts.add({"poet": 1}) == pytest.approx({"poet": left + 1}, abs=left / 2)


async def test_reading_changes_nothing(redis: Redis, namespace: str) -> None:
    counts = DemandCounts(redis, namespace)
    await counts.add({"poet": 3})
    for _ in range(5):
        await counts.read()
    assert await counts.read() == pytest.approx({"poet": 3}, rel=1e-3)


async def test_an_expert_that_nobody_asks_for_is_forgotten(redis: Redis, namespace: str) -> None:
    counts = DemandCounts(redis, namespace, half_life_s=0.01)
    await counts.add({"poet": 1})
    await asyncio.sleep(0.2)
    assert await counts.read() == {}
    assert await redis.exists(f"{namespace}:demand") == 0


async def test_redis_away_is_one_of_the_store_errors(absent_redis: Redis) -> None:
    with pytest.raises(STORE_ERRORS):
        await DemandCounts(absent_redis, "test").add({"poet": 1})
