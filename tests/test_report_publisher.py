"""Reports and swaps reach Redis, each swap once, and the metrics of swaps count also without Redis."""

from collections.abc import Callable

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from coe.report_publisher import ReportPublisher
from coe.store.directory import RedisDirectory
from coe.store.swaps import SwapLog
from tests.running_gateway import MakeReport
from workers.reports import SwapReport, Tier

Total = Callable[..., float]


def swap(
    number: int, model: str = "base", *evicted: str, at: float = 0.0, tier: Tier = "host", **more: object
) -> SwapReport:
    fields = {"number": number, "at": at, "model": model, "tier": tier, "evicted": evicted, "seconds": 0.5}
    return SwapReport(**(fields | more))  # type: ignore[arg-type]  # as tests give them


@pytest.fixture
def total(namespace: str) -> Total:
    """`total("coe_swaps_total", tier="host")`: the sum of a metric's samples of this test's worker."""

    def total(name: str, **labels: str) -> float:
        wanted = {"worker": namespace, **labels}.items()
        samples = (sample for metric in REGISTRY.collect() for sample in metric.samples if sample.name == name)
        return sum(sample.value for sample in samples if wanted <= sample.labels.items())

    return total


def publisher_to(redis: Redis, namespace: str) -> ReportPublisher:
    return ReportPublisher(RedisDirectory(redis, namespace), SwapLog(redis, namespace))


async def test_a_report_and_its_new_swaps_are_written(redis: Redis, namespace: str, make_report: MakeReport) -> None:
    publisher, log = publisher_to(redis, namespace), SwapLog(redis, namespace)
    await publisher.publish(make_report(swaps=(swap(1),)))
    report = make_report(swaps=(swap(1), swap(2)))
    await publisher.publish(report)
    await publisher.publish(report)
    assert await RedisDirectory(redis, namespace).reports() == [report]
    assert [event.number for event in await log.latest(10)] == [2, 1]


async def test_an_earlier_life_writes_neither(redis: Redis, namespace: str, make_report: MakeReport) -> None:
    await publisher_to(redis, namespace).publish(make_report(epoch=2))
    await publisher_to(redis, namespace).publish(make_report(epoch=1, swaps=(swap(1),)))
    assert await SwapLog(redis, namespace).latest(10) == []


async def test_what_redis_missed_comes_later(
    redis: Redis, absent_redis: Redis, namespace: str, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    publisher = publisher_to(absent_redis, namespace)
    await publisher.publish(make_report(swaps=(swap(1),)))
    back = publisher_to(redis, namespace)
    monkeypatch.setattr(publisher, "_directory", back._directory)
    monkeypatch.setattr(publisher, "_swaps", back._swaps)
    await publisher.publish(make_report(swaps=(swap(1), swap(2))))
    assert [event.number for event in await SwapLog(redis, namespace).latest(10)] == [2, 1]


async def test_swaps_count_once_by_tier_and_result_and_without_redis_too(
    absent_redis: Redis, namespace: str, make_report: MakeReport, total: Total
) -> None:
    publisher = publisher_to(absent_redis, namespace)
    first, second = swap(1), swap(2, tier="disk", error="the disk is full")
    await publisher.publish(make_report(worker_id=namespace, swaps=(first,)))
    await publisher.publish(make_report(worker_id=namespace, swaps=(first, second)))
    assert total("coe_swaps_total", tier="host", result="done") == 1
    assert total("coe_swaps_total", tier="disk", result="failed") == 1
    assert total("coe_swaps_total") == 2


async def test_the_seconds_of_swaps_that_were_done_are_counted_by_tier(
    absent_redis: Redis, namespace: str, make_report: MakeReport
) -> None:
    def seconds(tier: str) -> float:
        return REGISTRY.get_sample_value("coe_swap_duration_seconds_sum", {"tier": tier}) or 0.0

    before = seconds("host"), seconds("disk")
    swaps = swap(1), swap(2, tier="disk", seconds=3.0), swap(3, seconds=9.0, error="no")
    await publisher_to(absent_redis, namespace).publish(make_report(swaps=swaps))
    assert (seconds("host") - before[0], seconds("disk") - before[1]) == pytest.approx((0.5, 3.0))


async def test_what_comes_back_soon_after_it_left_is_thrash(
    absent_redis: Redis, namespace: str, make_report: MakeReport, total: Total
) -> None:
    publisher = publisher_to(absent_redis, namespace)
    swaps = (
        swap(1, "a", at=100),
        swap(2, "b", "a", at=110),
        swap(3, "a", "b", at=120),  # a is back 10 s after it left
        swap(4, "b", "a", at=500),  # b after 380 s
        swap(5, "a", at=505, error="the canary did not match"),  # a did not come in
    )
    await publisher.publish(make_report(worker_id=namespace, swaps=swaps))
    assert (total("coe_swap_thrash_total", model="a"), total("coe_swap_thrash_total", model="b")) == (1, 0)
