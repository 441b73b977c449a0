"""What a client sees of recent decisions, and who sees the prompts among them."""

import pytest
from redis.asyncio import Redis

from coe.config.models import DecisionLogConfig
from tests.running_gateway import ROUTER, MakeReport, RunningGateway, StartGateway
from tests.scripted_worker import ScriptedWorker

KEY = "a-key-of-the-tests"
KEEPING = DecisionLogConfig(prompts="all")


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker, redis: Redis
) -> RunningGateway:
    return await start_gateway(make_report(worker.url), redis=redis, log=KEEPING)


async def test_decisions_are_shown_the_newest_first(gateway: RunningGateway) -> None:
    for text in ("a poem", "unclear"):
        await gateway.ask(text)
    await gateway.settle()
    reply = await gateway.get("/v1/decisions")
    shown = reply.json()["decisions"]
    assert [(each["category"], each["expert"]) for each in shown] == [("general", "generalist"), ("poetry", "poet")]
    assert shown[1].pop("request_id")
    assert shown[1].pop("at") > 0
    assert shown[1] == {
        "category": "poetry",
        "confidence": 0.9,
        "abstained": False,
        "expert": "poet",
        "plan": "single",
        "router_version": ROUTER.version,
        "prompt": "a poem",
        "instead_of": None,
    }
    assert reply.headers["cache-control"] == "no-store"
    assert len((await gateway.get("/v1/decisions?limit=1")).json()["decisions"]) == 1


async def test_without_decisions_the_list_is_empty(gateway: RunningGateway) -> None:
    assert (await gateway.get("/v1/decisions")).json() == {"decisions": [], "prompts_withheld": False}


async def test_prompts_are_shown_to_who_may_change_experts(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker, redis: Redis
) -> None:
    public = await start_gateway(make_report(worker.url), redis=redis, log=KEEPING, host="0.0.0.0", admin_key=KEY)
    await public.ask("a poem")
    await public.settle()
    withheld = (await public.get("/v1/decisions")).json()
    assert (withheld["decisions"][0]["prompt"], withheld["prompts_withheld"]) == (None, True)
    told = (await public.get("/v1/decisions", authorization=f"Bearer {KEY}")).json()
    assert (told["decisions"][0]["prompt"], told["prompts_withheld"]) == ("a poem", False)


async def test_prompts_that_are_not_kept_are_not_withheld(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker, redis: Redis
) -> None:
    public = await start_gateway(make_report(worker.url), redis=redis, host="0.0.0.0", admin_key=KEY)
    await public.ask("a poem")
    await public.settle()
    shown = (await public.get("/v1/decisions")).json()
    assert (shown["decisions"][0]["prompt"], shown["prompts_withheld"]) == (None, False)


@pytest.mark.parametrize("limit", ["0", "1001", "many"])
async def test_a_limit_that_is_none_is_told(gateway: RunningGateway, limit: str) -> None:
    reply = await gateway.get(f"/v1/decisions?limit={limit}")
    assert (reply.status, reply.error["param"]) == (400, "limit")


async def test_without_redis_there_is_nothing_to_tell(start_gateway: StartGateway) -> None:
    reply = await (await start_gateway()).get("/v1/decisions")
    assert (reply.status, reply.error["code"]) == (503, "redis_unavailable")
