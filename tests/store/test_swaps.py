import pytest
from redis.asyncio import Redis

from coe.store.client import STORE_ERRORS
from coe.store.swaps import SwapEvent, SwapLog
from workers.reports import SwapReport


@pytest.fixture
def log(redis: Redis, namespace: str) -> SwapLog:
    return SwapLog(redis, namespace)


def swap(number: int, **fields: object) -> SwapReport:
    usual = {"number": number, "at": 1_700_000_000.0 + number, "model": "base", "tier": "host", "seconds": 0.25}
    return SwapReport(**(usual | fields))  # type: ignore[arg-type]  # as tests give them


async def numbers(log: SwapLog) -> list[tuple[str, int, int]]:
    return [(event.worker, event.epoch, event.number) for event in await log.latest(100)]


async def test_a_swap_comes_back_as_it_was_reported(log: SwapLog) -> None:
    assert await log.add("w-0", 7, [swap(1, evicted=("other", "ü"), error="the disk is full")])
    (event,) = await log.latest(10)
    assert event == SwapEvent("w-0", 7, 1, 1_700_000_001.0, "base", "host", ("other", "ü"), 0.25, "the disk is full")


async def test_each_swap_is_there_once_however_often_it_is_reported(log: SwapLog) -> None:
    await log.add("w-0", 7, [swap(1), swap(2)])
    await log.add("w-0", 7, [swap(3), swap(1), swap(2)])
    await log.add("w-1", 7, [swap(1)])
    await log.add("w-0", 7, [])
    assert await numbers(log) == [("w-1", 7, 1), ("w-0", 7, 3), ("w-0", 7, 2), ("w-0", 7, 1)]


async def test_a_new_life_begins_to_count_anew_and_the_earlier_one_is_refused(log: SwapLog) -> None:
    await log.add("w-0", 1_700_000_000_001, [swap(1), swap(2)])
    assert await log.add("w-0", 1_700_000_000_002, [swap(1)])
    assert not await log.add("w-0", 1_700_000_000_001, [swap(3)])
    assert [event.epoch % 10 for event in await log.latest(10)] == [2, 1, 1]


async def test_the_oldest_go_first(redis: Redis, namespace: str) -> None:
    """About `max_swaps` are kept: Redis trims whole blocks of a hundred."""
    log = SwapLog(redis, namespace, max_swaps=100)
    await log.add("w-0", 7, [swap(number) for number in range(1, 1001)])
    kept = await log.latest(10_000)
    assert 100 <= len(kept) <= 200
    assert kept[0].number == 1000


async def test_what_another_version_wrote_is_passed_over(log: SwapLog, redis: Redis, namespace: str) -> None:
    await log.add("w-0", 7, [swap(1)])
    await redis.xadd(f"{namespace}:swaps", {"swap": "another"})
    await redis.xadd(f"{namespace}:swaps", {"event": '{"worker": 3}'})
    assert await numbers(log) == [("w-0", 7, 1)]


async def test_redis_away_is_one_of_the_store_errors(absent_redis: Redis) -> None:
    log = SwapLog(absent_redis, "test")
    with pytest.raises(STORE_ERRORS):
        await log.add("w-0", 7, [swap(1)])
    with pytest.raises(STORE_ERRORS):
        await log.latest(1)
