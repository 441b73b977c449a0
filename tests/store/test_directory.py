import asyncio

import pytest
from redis.asyncio import Redis

from coe.store import directory as directory_module
from coe.store.client import STORE_ERRORS
from coe.store.directory import RedisDirectory
from tests.running_gateway import MakeReport


@pytest.fixture
def directory(redis: Redis, namespace: str) -> RedisDirectory:
    return RedisDirectory(redis, namespace)


async def test_reports_come_back_as_they_were_written(directory: RedisDirectory, make_report: MakeReport) -> None:
    reports = [make_report(f"http://{name}", worker_id=name, error="ü 'quoted'") for name in ("a", "b")]
    for report in reversed(reports):
        assert await directory.write(report)
    assert await directory.reports() == reports


async def test_a_later_report_replaces_an_earlier_one(directory: RedisDirectory, make_report: MakeReport) -> None:
    await directory.write(make_report(state="loading"))
    await directory.write(make_report(state="ready"))
    assert await directory.reports() == [make_report(state="ready")]


async def test_an_earlier_life_of_a_worker_is_refused(directory: RedisDirectory, make_report: MakeReport) -> None:
    later = make_report(epoch=1_700_000_000_002)
    assert await directory.write(later)
    assert not await directory.write(make_report(epoch=1_700_000_000_001))
    assert await directory.reports() == [later]
    await directory.remove(make_report(epoch=1_700_000_000_001))
    assert await directory.reports() == [later]


async def test_a_worker_that_stops_is_taken_out(directory: RedisDirectory, make_report: MakeReport) -> None:
    await directory.write(make_report())
    await directory.remove(make_report())
    assert await directory.reports() == []
    await directory.remove(make_report())


async def test_a_worker_that_falls_silent_is_forgotten(
    directory: RedisDirectory, make_report: MakeReport, redis: Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(directory_module, "REPORT_TTL_S", 1)
    await directory.write(make_report())
    await asyncio.sleep(1.1)
    assert await directory.reports() == []
    assert await redis.smembers(f"{namespace}:workers") == set()


async def test_services_with_other_namespaces_do_not_see_each_other(
    directory: RedisDirectory, make_report: MakeReport, redis: Redis, namespace: str
) -> None:
    await directory.write(make_report())
    assert await RedisDirectory(redis, f"{namespace}-other").reports() == []


async def test_a_report_of_another_version_is_passed_over(
    directory: RedisDirectory, make_report: MakeReport, redis: Redis, namespace: str
) -> None:
    await directory.write(make_report(worker_id="a"))
    await directory.write(make_report(worker_id="b"))
    await redis.hset(f"{namespace}:worker:a", "report", b'{"worker": "a"}')
    assert [report.worker_id for report in await directory.reports()] == ["b"]


async def test_redis_away_is_one_of_the_store_errors(absent_redis: Redis, make_report: MakeReport) -> None:
    directory = RedisDirectory(absent_redis, "test")
    with pytest.raises(STORE_ERRORS):
        await directory.reports()
    with pytest.raises(STORE_ERRORS):
        await directory.write(make_report())
