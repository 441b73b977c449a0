import asyncio

import pytest
from redis.asyncio import Redis

from coe.store.client import STORE_ERRORS
from coe.store.drift_baselines import DriftBaselines
from routers.drift import DecisionCounts

FIRST = DecisionCounts(25, {"law": 400, "poetry": 75})
SECOND = DecisionCounts(30, {"law": 470})


async def test_the_first_baseline_of_a_version_is_that_of_all(redis: Redis, namespace: str) -> None:
    baselines = DriftBaselines(redis, namespace)
    assert await baselines.agree("v1", FIRST) == FIRST
    assert await baselines.agree("v1", SECOND) == FIRST
    assert await baselines.agree("v2", SECOND) == SECOND
    assert await DriftBaselines(redis, f"{namespace}-other").agree("v1", SECOND) == SECOND


async def test_gateways_that_come_at_once_agree(redis: Redis, namespace: str) -> None:
    baselines = DriftBaselines(redis, namespace)
    offered = [DecisionCounts(number, {"law": 100}) for number in range(10)]
    assert (
        len({found.rejected for found in await asyncio.gather(*(baselines.agree("v1", own) for own in offered))}) == 1
    )


async def test_a_baseline_of_another_format_is_not_used(redis: Redis, namespace: str) -> None:
    await redis.set(f"{namespace}:drift:baseline:v1", b"[1, 2]")
    assert await DriftBaselines(redis, namespace).agree("v1", FIRST) == FIRST


async def test_redis_away_is_one_of_the_store_errors(absent_redis: Redis) -> None:
    with pytest.raises(STORE_ERRORS):
        await DriftBaselines(absent_redis, "test").agree("v1", FIRST)
