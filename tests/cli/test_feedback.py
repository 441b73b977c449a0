"""`coe feedback` against a gateway with a real Redis."""

import asyncio

import orjson
import pytest
from redis.asyncio import Redis

from tests.cli.commands import Coe
from tests.running_gateway import MakeReport, RunningGateway, StartGateway
from tests.scripted_worker import ScriptedWorker


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, redis: Redis
) -> RunningGateway:
    return await start_gateway(make_report(worker.url), redis=redis)


async def test_a_score_is_told_with_whom_it_is_about(coe: Coe, gateway: RunningGateway) -> None:
    asked = (await gateway.ask("a poem")).headers["x-request-id"]
    ended = await asyncio.to_thread(coe, "feedback", asked, "0.5", "--comment", "no metre", "--url", gateway.url)
    assert (ended.code, ended.out, ended.err) == (0, "0.5 for poet in poetry\n", "")
    (outcome,) = await gateway.outcomes.read()
    assert (outcome.request_id, outcome.score, outcome.comment) == (asked, 0.5, "no metre")


async def test_a_score_that_helps_no_map_is_told_so(coe: Coe, gateway: RunningGateway) -> None:
    asked = (await gateway.ask("a poem", model="poet")).headers["x-request-id"]
    ended = await asyncio.to_thread(coe, "feedback", asked, "1", "--url", gateway.url)
    assert (ended.code, ended.err) == (0, "")
    assert "1 for poet, in no category" in ended.out


async def test_programs_get_json(coe: Coe, gateway: RunningGateway) -> None:
    asked = (await gateway.ask("unclear")).headers["x-request-id"]
    ended = await asyncio.to_thread(coe, "feedback", asked, "0", "--json", "--url", gateway.url)
    assert orjson.loads(ended.out) == {
        "recorded": True,
        "counts_for_map": True,
        "expert": "generalist",
        "category": "general",
    }


@pytest.mark.parametrize("score", ["1.01", "nan", "inf", "much"])
async def test_what_is_no_score_is_bad_input(coe: Coe, gateway: RunningGateway, score: str) -> None:
    ended = await asyncio.to_thread(coe, "feedback", "r-1", score, "--url", gateway.url)
    assert (ended.code, ended.out) == (2, "")
    assert "SCORE" in ended.err


async def test_an_unknown_request_is_bad_input(coe: Coe, gateway: RunningGateway) -> None:
    ended = await asyncio.to_thread(coe, "feedback", "nobody", "1", "--url", gateway.url)
    assert ended.code == 2
    assert "within 24 hours" in ended.err


async def test_redis_away_is_a_failure(
    coe: Coe, start_gateway: StartGateway, make_report: MakeReport, absent_redis: Redis
) -> None:
    gateway = await start_gateway(make_report(), redis=absent_redis)
    ended = await asyncio.to_thread(coe, "feedback", "r-1", "1", "--url", gateway.url)
    assert ended.code == 1
    assert "Redis is away" in ended.err


def test_a_service_that_does_not_run_is_told(coe: Coe) -> None:
    ended = coe("feedback", "r-1", "1", "--url", "http://127.0.0.1:9")
    assert ended.code == 1
    assert "start it with `coe serve`" in ended.err
