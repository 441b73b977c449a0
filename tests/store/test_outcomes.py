import asyncio
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from coe.store.client import STORE_ERRORS, open_redis
from coe.store.outcomes import LoggedOutcome, OutcomeLog

OUTCOME = LoggedOutcome("r-1", "poetry", "poet", 0.75, 1_700_000_000.125)


@pytest.fixture
def log(redis: Redis, namespace: str) -> OutcomeLog:
    return OutcomeLog(redis, namespace, keep_s=60, max_outcomes=100_000)


async def test_outcomes_come_back_as_they_were_added(log: OutcomeLog) -> None:
    outcomes = [
        OUTCOME,
        replace(OUTCOME, request_id="r-2", category=None, score=0.1),
        replace(OUTCOME, request_id="r-3", category="general", score=1.0, comment="ü, so so"),
        replace(OUTCOME, request_id="r-4", score=0.0, comment=""),
    ]
    for outcome in outcomes:
        assert await log.add(outcome)
    assert await log.read() == outcomes


async def test_the_same_score_twice_counts_once(log: OutcomeLog, redis: Redis, namespace: str) -> None:
    assert await log.add(OUTCOME)
    assert not await log.add(replace(OUTCOME, at=OUTCOME.at + 5))
    assert await redis.xlen(f"{namespace}:outcomes") == 1
    assert await log.read() == [OUTCOME]


async def test_a_new_score_takes_the_place_of_the_old(log: OutcomeLog) -> None:
    other, lower = replace(OUTCOME, request_id="r-2"), replace(OUTCOME, score=0.25)
    for outcome in (OUTCOME, other, lower):
        assert await log.add(outcome)
    assert await log.read() == [other, lower]
    assert await log.add(OUTCOME), "back to the first score is a change too"
    assert await log.read() == [other, OUTCOME]


async def test_a_comment_that_is_added_later_is_kept(log: OutcomeLog) -> None:
    commented = replace(OUTCOME, comment="wrong metre")
    assert await log.add(OUTCOME)
    assert await log.add(commented)
    assert await log.read() == [commented]


async def test_the_same_score_from_many_at_once_counts_once(log: OutcomeLog) -> None:
    added = await asyncio.gather(*(log.add(OUTCOME) for _ in range(20)))
    assert sum(added) == 1


async def test_more_than_one_page_is_read(log: OutcomeLog) -> None:
    for number in range(2_500):
        await log.add(replace(OUTCOME, request_id=str(number)))
    assert [outcome.request_id for outcome in await log.read()] == [str(number) for number in range(2_500)]


async def test_the_oldest_outcomes_go_first(redis: Redis, namespace: str) -> None:
    log = OutcomeLog(redis, namespace, keep_s=60, max_outcomes=100)
    for number in range(500):
        await log.add(replace(OUTCOME, request_id=str(number)))
    kept = await log.read()
    assert 100 <= len(kept) <= 200
    assert kept[-1].request_id == "499"


async def test_what_another_version_wrote_is_passed_over(log: OutcomeLog, redis: Redis, namespace: str) -> None:
    stream = f"{namespace}:outcomes"
    await redis.xadd(stream, {"id": "r-0", "value": "0.5"})
    await redis.xadd(stream, {"request_id": "r-1", "expert": "poet", "score": "much", "at": "1.0"})
    await log.add(OUTCOME)
    await redis.xadd(stream, {"request_id": "r-2", "expert": "poet", "score": "0.5", "at": "1.0", "colour": "blue"})
    assert [outcome.request_id for outcome in await log.read()] == ["r-1", "r-2"]


async def test_nothing_is_read_where_nothing_was_said(log: OutcomeLog) -> None:
    assert await log.read() == []


async def test_redis_away_is_one_of_the_store_errors(absent_redis: Redis) -> None:
    log = OutcomeLog(absent_redis, "test", keep_s=60, max_outcomes=100)
    with pytest.raises(STORE_ERRORS):
        await log.add(OUTCOME)
    with pytest.raises(STORE_ERRORS):
        await log.read()


SAID = st.tuples(st.sampled_from(["a", "b", "c"]), st.sampled_from([0.0, 0.1, 1.0]), st.sampled_from([None, "", "so"]))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(said=st.lists(SAID, max_size=12))
def test_whatever_is_said_in_whatever_order_the_last_word_of_each_stands(
    said: list[tuple[str, float, str | None]], redis_url: str, namespace: str
) -> None:
    async def say() -> tuple[list[bool], list[LoggedOutcome]]:
        async with open_redis(redis_url) as client:
            await client.delete(f"{namespace}:outcomes", *(f"{namespace}:outcome:{name}" for name in "abc"))
            log = OutcomeLog(client, namespace, keep_s=60, max_outcomes=1000)
            added = [await log.add(LoggedOutcome(name, "x", "e", score, 1.0, text)) for name, score, text in said]
            return added, await log.read()

    added, read = asyncio.run(say())
    last: dict[str, tuple[float, str | None]] = {}
    for (name, score, text), new in zip(said, added, strict=True):
        assert new == (last.get(name) != (score, text))
        last[name] = (score, text)
    assert {outcome.request_id: (outcome.score, outcome.comment) for outcome in read} == last
