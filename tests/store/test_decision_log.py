import asyncio
from dataclasses import replace

import pytest
from redis.asyncio import Redis

from coe.store.client import STORE_ERRORS
from coe.store.decision_log import MAX_RECENT, DecisionLog, LoggedDecision

DECISION = LoggedDecision(
    request_id="r-1",
    category="poetry",
    confidence=0.9,
    abstained=False,
    expert="poet",
    plan="single",
    at=1_700_000_000.125,
    router_version="0123456789ab",
)
REJECTED = replace(DECISION, request_id="r-2", category="general", abstained=True, expert="generalist")


@pytest.fixture
def log(redis: Redis, namespace: str) -> DecisionLog:
    return DecisionLog(redis, namespace, keep_s=60, max_prompts=1000)


@pytest.mark.parametrize(
    "decision",
    [
        DECISION,
        REJECTED,
        replace(DECISION, category=None, confidence=1.0),
        replace(DECISION, expert=None, prompt="ü\n\0 \N{ARABIC LETTER SEEN}"),
        replace(DECISION, request_id="a:b {c} *\\\N{DEGREE SIGN}"),
    ],
)
async def test_a_decision_is_found_as_it_was_written(log: DecisionLog, decision: LoggedDecision) -> None:
    await log.write([decision])
    assert await log.find(decision.request_id) == decision
    assert await log.find("another") is None


async def test_of_two_decisions_with_one_id_the_last_stands(log: DecisionLog) -> None:
    later = replace(DECISION, expert="generalist")
    await log.write([DECISION, later])
    assert await log.find("r-1") == later


async def test_a_decision_is_forgotten_after_its_time(redis: Redis, namespace: str) -> None:
    log = DecisionLog(redis, namespace, keep_s=0.05, max_prompts=10)
    await log.write([DECISION])
    await asyncio.sleep(0.1)
    assert await log.find("r-1") is None


async def test_what_another_version_wrote_is_not_found(log: DecisionLog, redis: Redis, namespace: str) -> None:
    await redis.set(f"{namespace}:decision:r-1", b'{"request": "r-1"}')
    assert await log.find("r-1") is None


async def test_the_latest_come_the_newest_first_whichever_batch_they_were_in(log: DecisionLog) -> None:
    one, two, three = (replace(DECISION, request_id=f"r-{n}", at=DECISION.at + n) for n in (1, 2, 3))
    await log.write([one, three])
    await log.write([two])
    assert await log.latest(10) == [three, two, one]
    assert await log.latest(2) == [three, two]


async def test_of_the_latest_each_id_comes_once(log: DecisionLog) -> None:
    later = replace(DECISION, expert="generalist")
    await log.write([DECISION, REJECTED])
    await log.write([later])
    assert {decision.request_id: decision.expert for decision in await log.latest(10)} == {
        "r-1": "generalist",
        "r-2": "generalist",
    }
    assert await log.latest(10) == [later, REJECTED]


async def test_what_is_forgotten_is_not_among_the_latest(redis: Redis, namespace: str) -> None:
    await DecisionLog(redis, namespace, keep_s=0.05, max_prompts=10).write([DECISION])
    kept = DecisionLog(redis, namespace, keep_s=60, max_prompts=10)
    await kept.write([REJECTED])
    await asyncio.sleep(0.1)
    assert await kept.latest(10) == [REJECTED]


async def test_the_list_of_the_latest_is_bounded(log: DecisionLog, redis: Redis, namespace: str) -> None:
    for start in range(0, MAX_RECENT + 100, 100):
        await log.write([replace(DECISION, request_id=str(n), at=n) for n in range(start, start + 100)])
    assert await redis.llen(f"{namespace}:decisions:recent") == MAX_RECENT
    assert (await log.latest(1))[0].request_id == str(MAX_RECENT + 99)


async def test_texts_of_abstained_prompts_are_kept_apart(log: DecisionLog) -> None:
    await log.write(
        [
            replace(REJECTED, prompt="first"),
            replace(DECISION, prompt="decided, so not here"),
            replace(REJECTED, prompt=None),
            replace(REJECTED, prompt="second ü"),
            replace(REJECTED, prompt="third"),
        ]
    )
    assert await log.rejected_prompts(10) == ["first", "second ü", "third"]
    assert await log.rejected_prompts(2) == ["second ü", "third"]


async def test_without_texts_there_is_nothing_to_read(log: DecisionLog) -> None:
    await log.write([DECISION, REJECTED])
    assert await log.rejected_prompts(10) == []


async def test_the_oldest_texts_go_first(redis: Redis, namespace: str) -> None:
    """About `max_prompts` are kept: Redis trims whole blocks of a hundred."""
    log = DecisionLog(redis, namespace, keep_s=60, max_prompts=100)
    await log.write([replace(REJECTED, prompt=str(number)) for number in range(1000)])
    kept = await log.rejected_prompts(10_000)
    assert 100 <= len(kept) <= 200
    assert kept[-1] == "999"


async def test_redis_away_is_one_of_the_store_errors(absent_redis: Redis) -> None:
    log = DecisionLog(absent_redis, "test", keep_s=60, max_prompts=10)
    with pytest.raises(STORE_ERRORS):
        await log.write([DECISION])
    with pytest.raises(STORE_ERRORS):
        await log.find("r-1")
    with pytest.raises(STORE_ERRORS):
        await log.latest(1)
    with pytest.raises(STORE_ERRORS):
        await log.rejected_prompts(1)
