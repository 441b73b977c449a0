"""Demand reaches Redis from the background, and what Redis could not take is not lost."""

import pytest
from redis.asyncio import Redis
from structlog.testing import capture_logs

from coe.gateway.demand_counter import DemandCounter
from coe.store.client import open_redis
from coe.store.demand import DemandCounts
from coe.store.embedded import EmbeddedRedis
from tests.running_gateway import MakeReport, StartGateway
from tests.scripted_worker import ScriptedWorker


async def test_what_was_noted_is_handed_on_once(redis: Redis, namespace: str) -> None:
    counts = DemandCounts(redis, namespace)
    counter = DemandCounter(counts)
    for expert in ("poet", "clerk", "poet"):
        counter.note(expert)
    assert await counts.read() == {}
    await counter.push()
    await counter.push()
    assert await counts.read() == pytest.approx({"poet": 2, "clerk": 1}, rel=1e-3)


async def test_what_was_noted_while_redis_was_away_comes_with_its_age(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("r")
    client = open_redis(f"unix://{folder}/redis.sock")
    counts = DemandCounts(client, "test", half_life_s=100)
    now = 0.0
    counter = DemandCounter(counts, lambda: now)
    with capture_logs() as lines:
        for _ in range(3):
            counter.note("poet")
            counter.note("poet")
            await counter.push()
            now += 100.0
        with EmbeddedRedis(folder):
            await counter.push()
            assert await counts.read() == pytest.approx({"poet": (1 + 0.5 + 0.25)}, rel=1e-2)
            await client.aclose()
    assert [line["event"].split(";")[0] for line in lines] == ["Redis is away", "Redis is back"]


async def test_every_chat_request_counts_for_the_expert_that_it_wants(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, redis: Redis
) -> None:
    gateway = await start_gateway(make_report(worker.url), redis=redis)
    await gateway.ask("a poem")
    await gateway.ask("hello", model="poet", stream=True)
    await gateway.ask("a will")
    await gateway.post("/v1/route", {"prompt": "a poem"})
    await gateway.settle()
    shown = (await gateway.get("/v1/demand")).json()
    assert shown == {
        "half_life_s": 600.0,
        "experts": {"poet": pytest.approx(2, 0.01), "generalist": pytest.approx(1, 0.01)},
    }
    assert list(shown["experts"]) == ["poet", "generalist"]
