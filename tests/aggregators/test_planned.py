"""What a streamed reply consists of, in which order, and what becomes of calls when nobody reads it."""

import asyncio

import pytest

from coe.errors import DeadlineError, UnavailableError
from coe.plan.executor import Executor
from coe.plan.options import PlanOptions
from coe.sse import PING, payloads
from tests.aggregators.scripted_experts import DONE, ScriptedExpert, Told, request, self_moa, tell, with_terms
from tests.scripted_worker import until


def comments(told: Told) -> list[str]:
    lines = b"".join(told.chunks).decode().splitlines()
    return [line.removeprefix(": ") for line in lines if line.startswith(":")]


async def test_progress_is_told_in_comments_before_the_first_token() -> None:
    poet = ScriptedExpert("poet", ("one", "two", "the best"))
    told = await tell(self_moa(2), request(stream=True), poet)
    assert told.text == "the best"
    assert comments(told) == [
        "proposal 1 of 2: poet",
        "proposal 2 of 2: poet",
        "aggregating 2: poet",
    ]
    whole = b"".join(told.chunks)
    assert whole.index(b"aggregating") < whole.index(b"data:")
    assert whole.endswith(DONE)


async def test_progress_comes_as_events_on_request() -> None:
    poet = ScriptedExpert("poet", ("one", "two", "best"))
    told = await tell(self_moa(2), request(stream=True, options=PlanOptions(progress="events")), poet)
    steps = [event["coe"]["progress"] for event in told.events if "coe" in event]
    assert [(step["stage"], step["finished"], step["left"]) for step in steps] == [
        ("proposal", 1, 1),
        ("proposal", 2, 0),
        ("aggregating", 2, 0),
    ]
    assert all(event["choices"] == [] for event in told.events if "coe" in event)
    assert (comments(told), told.text) == ([], "best")


async def test_progress_comes_as_reasoning_on_request() -> None:
    poet = ScriptedExpert("poet", ("one", "best"))
    told = await tell(self_moa(1), request(stream=True, options=PlanOptions(progress="reasoning")), poet)
    deltas = [choice["delta"] for event in told.events for choice in event["choices"]]
    thoughts = [delta["reasoning_content"] for delta in deltas if "reasoning_content" in delta]
    assert thoughts == ["proposal 1 of 1: poet\n", "aggregating 1: poet\n"]
    assert told.text == "best"


async def test_tokens_are_passed_on_as_the_aggregator_gives_them() -> None:
    poet, judge = ScriptedExpert("poet"), ScriptedExpert("judge", ("one two three",), stalls_after_words=2)
    answer = await Executor({"poet": poet, "judge": judge}).run(self_moa(1, aggregator="judge"), request(stream=True))
    found = b""
    async with asyncio.timeout(5):
        while b"two" not in found:
            found += await anext(answer.chunks)
    assert b"three" not in found  # the aggregator has not said it yet
    judge.release()
    rest = b"".join([chunk async for chunk in answer.chunks])
    assert b"three" in rest
    assert rest.endswith(DONE)


async def test_the_usage_of_a_stream_adds_up_all_calls() -> None:
    poet = ScriptedExpert("poet", ("one", "two two", "the best"))
    told = await tell(self_moa(2), request(stream=True, options=PlanOptions(itemised=True)), poet)
    last = told.events[-1]
    assert last["choices"] == []
    assert last["usage"] == {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
    assert [call["role"] for call in last["coe"]["calls"]] == ["proposal", "aggregation"]
    assert sum("usage" in event and event["choices"] == [] for event in told.events) == 1


async def test_what_went_otherwise_is_told_again_before_the_end_of_a_stream() -> None:
    poet, judge = ScriptedExpert("poet", ("a",)), ScriptedExpert("judge", error=UnavailableError("x", code="gone"))
    told = await tell(self_moa(1, aggregator="judge"), request(stream=True), poet, judge)
    assert told.text == "a"
    assert comments(told)[-1] == "x-coe-plan-notes: fallback=judge:gone"
    assert told.events[-1]["model"] == "poet"


async def test_a_failure_before_any_proposal_is_raised_before_any_byte() -> None:
    poet = ScriptedExpert("poet", error=UnavailableError("away"))
    answer = await Executor({"poet": poet}).run(self_moa(2), request(stream=True))
    with pytest.raises(UnavailableError, match="away"):
        await anext(answer.chunks)


async def test_nothing_runs_before_somebody_reads() -> None:
    poet = ScriptedExpert("poet")
    answer = await Executor({"poet": poet}).run(self_moa(2), request(stream=True))
    await answer.chunks.aclose()
    assert poet.asked == []


@pytest.mark.parametrize("stream", [False, True])
async def test_closing_the_reply_while_proposals_run_stops_them(stream: bool) -> None:
    poet = ScriptedExpert("poet", stalls=True)
    answer = await Executor({"poet": poet}).run(self_moa(2), request(stream=stream))
    reading = asyncio.ensure_future(anext(answer.chunks))
    await until(lambda: poet.running == 1)
    reading.cancel()
    await asyncio.wait({reading})
    assert poet.running == 0


async def test_closing_the_reply_while_it_streams_stops_the_aggregator() -> None:
    poet, judge = ScriptedExpert("poet"), ScriptedExpert("judge", ("one two",), stalls_after_words=1)
    answer = await Executor({"poet": poet, "judge": judge}).run(self_moa(1, aggregator="judge"), request(stream=True))
    found = b""
    while b"one" not in found:
        found += await anext(answer.chunks)
    assert judge.running == 1
    await answer.chunks.aclose()
    assert (judge.running, judge.closed) == (0, 1)


async def test_closing_the_reply_as_the_answer_begins_stops_the_aggregator_too() -> None:
    poet, judge = ScriptedExpert("poet"), ScriptedExpert("judge", ("one two",))
    answer = await Executor({"poet": poet, "judge": judge}).run(self_moa(1, aggregator="judge"), request(stream=True))
    await anext(answer.chunks)  # the first proposal; the aggregator is asked while nobody reads
    await until(lambda: judge.running == 1)
    await answer.chunks.aclose()
    assert judge.running == 0


async def test_a_stream_that_takes_too_long_ends_with_an_error() -> None:
    poet, judge = ScriptedExpert("poet"), ScriptedExpert("judge", ("one two",), stalls_after_words=1)
    plan = with_terms(self_moa(1, aggregator="judge"), max_seconds=0.3)
    answer = await Executor({"poet": poet, "judge": judge}).run(plan, request(stream=True))
    with pytest.raises(DeadlineError, match=r"`self-moa` gave no complete answer within 0\.3 s"):
        _ = [chunk async for chunk in answer.chunks]
    assert judge.running == 0


async def test_a_stream_that_waits_after_its_first_progress_is_kept_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coe.aggregators.progress.PING_S", 0.02)
    poet = ScriptedExpert("poet", ("one", "two two", "best"), stalls_after_words=2)
    answer = await Executor({"poet": poet}).run(self_moa(2), request(stream=True))
    found = b""
    async with asyncio.timeout(5):
        while found.count(PING) < 3:
            found += await anext(answer.chunks)
    assert found.startswith(b": proposal 1 of 2: poet\n\n" + PING)
    poet.stalls_after_words = None
    poet.release()
    assert b"".join([chunk async for chunk in answer.chunks]).endswith(DONE)


async def test_before_its_first_progress_a_stream_sends_nothing_so_that_a_failure_has_its_status(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("coe.aggregators.progress.PING_S", 0.02)
    poet = ScriptedExpert("poet", stalls=True)
    answer = await Executor({"poet": poet}).run(with_terms(self_moa(2), proposal_timeout_s=0.1), request(stream=True))
    with pytest.raises(DeadlineError):
        await anext(answer.chunks)


async def test_every_frame_is_whole() -> None:
    poet = ScriptedExpert("poet", ("one", "two", "the best"))
    told = await tell(self_moa(2), request(stream=True), poet)
    assert all(chunk.endswith(b"\n\n") for chunk in told.chunks if chunk)
    assert payloads(b"".join(told.chunks))[-1] == b"[DONE]"
