"""`POST /v1/feedback`: whom a score is about, when it counts, and what is refused."""

import asyncio

import pytest
from redis.asyncio import Redis

from coe.config.models import DecisionLogConfig
from tests.running_gateway import MakeReport, Reply, RunningGateway, StartGateway
from tests.scripted_worker import ScriptedWorker, chunk

PATH = "/v1/feedback"


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, redis: Redis
) -> RunningGateway:
    """In front of one worker, with a Redis."""
    return await start_gateway(make_report(worker.url), redis=redis)


async def score(gateway: RunningGateway, asked: Reply, value: object, **fields: object) -> Reply:
    return await gateway.post(PATH, {"request_id": asked.headers["x-request-id"], "score": value, **fields})


@pytest.mark.parametrize("stream", [False, True])
async def test_a_score_becomes_an_outcome_of_category_and_expert(gateway: RunningGateway, stream: bool) -> None:
    asked = await gateway.ask("a poem", stream=stream)
    reply = await score(gateway, asked, 0.75)
    assert reply.status == 200
    assert reply.json() == {"recorded": True, "counts_for_map": True, "expert": "poet", "category": "poetry"}
    (outcome,) = await gateway.outcomes.read()
    assert (outcome.request_id, outcome.score) == (asked.headers["x-request-id"], 0.75)
    assert (outcome.category, outcome.expert, outcome.comment) == ("poetry", "poet", None)


async def test_an_abstained_request_counts_for_general(gateway: RunningGateway) -> None:
    reply = await score(gateway, await gateway.ask("unclear"), 1)
    assert (reply.json()["category"], reply.json()["expert"], reply.json()["counts_for_map"]) == (
        "general",
        "generalist",
        True,
    )


async def test_the_expert_that_answered_is_scored_and_not_the_one_that_was_to(
    gateway: RunningGateway, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    gateway.source.known = [make_report(worker.url, "generalist")]
    await gateway.fleet.refresh()
    asked = await gateway.ask("a poem")
    assert (await score(gateway, asked, 0)).json()["expert"] == asked.headers["x-coe-expert"] == "generalist"
    assert [(each.category, each.expert) for each in await gateway.outcomes.read()] == [("poetry", "generalist")]


async def test_a_named_expert_is_scored_and_no_map_learns_of_it(gateway: RunningGateway) -> None:
    reply = await score(gateway, await gateway.ask("a poem", model="poet"), 1.0)
    assert reply.json() == {"recorded": True, "counts_for_map": False, "expert": "poet", "category": None}
    assert [each.category for each in await gateway.outcomes.read()] == [None]


async def test_the_same_score_counts_once_and_another_replaces_it(gateway: RunningGateway) -> None:
    asked = await gateway.ask("a poem")
    replies = [await score(gateway, asked, value) for value in (1, 1.0, 0.25)]
    assert [reply.status for reply in replies] == [200, 200, 200]
    assert replies[0].json() == replies[1].json()
    assert [each.score for each in await gateway.outcomes.read()] == [0.25]


async def test_a_comment_is_kept(gateway: RunningGateway) -> None:
    await score(gateway, await gateway.ask("a poem"), 0.5, comment="Schön, but too short.")
    assert [each.comment for each in await gateway.outcomes.read()] == ["Schön, but too short."]


async def test_an_answer_that_broke_off_can_be_scored(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.dies(chunk("poet", "Hello "))
    asked = await gateway.ask("a poem", stream=True)
    assert b'"error"' in asked.body
    assert (await score(gateway, asked, 0)).status == 200


async def test_where_nobody_answered_there_is_nothing_to_score(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.refuses(400)
    refused = await score(gateway, await gateway.ask("a poem"), 1)
    assert (refused.status, refused.error["code"], refused.error["param"]) == (
        409,
        "request_not_answered",
        "request_id",
    )
    assert await gateway.outcomes.read() == []


async def test_an_unknown_id_is_told_how_long_ids_are_kept(start_gateway: StartGateway, redis: Redis) -> None:
    gateway = await start_gateway(redis=redis, log=DecisionLogConfig(keep_h=36))
    reply = await gateway.post(PATH, {"request_id": "nobody", "score": 1})
    assert (reply.status, reply.error["code"], reply.error["param"]) == (404, "request_not_found", "request_id")
    assert "36 hours" in reply.error["message"]
    assert "nobody" not in reply.error["message"]


async def test_a_dry_run_is_not_a_request_to_score(gateway: RunningGateway) -> None:
    routed = await gateway.post("/v1/route", {"prompt": "a poem"})
    assert (await score(gateway, routed, 1)).status == 404


async def test_an_expired_id_is_unknown(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, redis: Redis
) -> None:
    gateway = await start_gateway(make_report(worker.url), redis=redis, log=DecisionLogConfig(keep_h=0.2 / 3600))
    asked = await gateway.ask("a poem")
    await gateway.settle()
    await asyncio.sleep(0.25)
    assert (await score(gateway, asked, 1)).status == 404


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"score": 1}, "request_id"),
        ({"request_id": "r"}, "score"),
        ({"request_id": "", "score": 1}, "request_id"),
        ({"request_id": "r" * 257, "score": 1}, "request_id"),
        ({"request_id": 7, "score": 1}, "request_id"),
        ({"request_id": "r", "score": 1.01}, "score"),
        ({"request_id": "r", "score": -0.01}, "score"),
        ({"request_id": "r", "score": True}, "score"),
        ({"request_id": "r", "score": "1"}, "score"),
        ({"request_id": "r", "score": None}, "score"),
        ({"request_id": "r", "score": 1, "comment": "x" * 2001}, "comment"),
        ({"request_id": "r", "score": 1, "comment": ["x"]}, "comment"),
        ({"request_id": "r", "score": 1, "rating": 5}, "rating"),
    ],
)
async def test_what_does_not_follow_the_format_is_refused_by_field(
    gateway: RunningGateway, body: dict[str, object], param: str
) -> None:
    reply = await gateway.post(PATH, body)
    assert (reply.status, reply.error["type"], reply.error["param"]) == (400, "invalid_request_error", param)


@pytest.mark.parametrize(
    "body", [b"", b"[]", b'{"request_id": "r", "score": NaN}', b'{"request_id": "r", "score": 1e999}']
)
async def test_what_is_not_json_is_refused(gateway: RunningGateway, body: bytes) -> None:
    reply = await gateway.send("POST", PATH, data=body)
    assert (reply.status, reply.error["code"]) == (400, "invalid_json")


async def test_a_body_over_the_limit_is_refused(gateway: RunningGateway) -> None:
    reply = await gateway.send("POST", PATH, data=b" " * 100_001)
    assert (reply.status, reply.error["code"]) == (413, "request_too_large")


async def test_without_redis_the_client_is_to_come_again(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, absent_redis: Redis
) -> None:
    gateway = await start_gateway(make_report(worker.url), redis=absent_redis)
    reply = await score(gateway, await gateway.ask("a poem"), 1)
    assert (reply.status, reply.error["code"]) == (503, "feedback_unavailable")
    assert reply.headers["retry-after"] == "5"
