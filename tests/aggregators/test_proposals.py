from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.aggregators.asking import for_proposal
from coe.aggregators.proposals import Proposal, Samples
from coe.aggregators.sampling import sample
from coe.errors import DeadlineError, UnavailableError, UpstreamError
from tests.aggregators.scripted_experts import DONE, ScriptedExpert, make_run, member, request


def frame(*choices: tuple[int, str, str | None], usage: dict[str, int] | None = None) -> bytes:
    found = [{"index": i, "delta": {"content": text}, "finish_reason": reason} for i, text, reason in choices]
    return b"data: " + orjson.dumps({"choices": found, "usage": usage}) + b"\n\n"


def usage(completion: int) -> dict[str, int]:
    return {"prompt_tokens": 5, "completion_tokens": completion}


STREAM = b"".join(
    (
        frame((0, "a b", None), usage=usage(2)),
        frame((1, "x", None), usage=usage(1)),
        b": ping\n\n",
        frame((0, " c", "stop"), usage=usage(3)),
        frame((1, "", "length"), usage=usage(1)),
        frame(usage=usage(4)),
        DONE,
    )
)


@given(cuts=st.sets(st.integers(1, len(STREAM))))
def test_samples_are_put_together_wherever_the_stream_is_cut(cuts: set[int]) -> None:
    samples = Samples(2)
    bounds = [0, *sorted(cuts), len(STREAM)]
    ended = sum(samples.feed(STREAM[start:end]) for start, end in pairwise(bounds))
    assert ended + samples.rest() == 2
    assert samples.finished("poet") == [Proposal("poet", "a b c", 3, 5), Proposal("poet", "x", 1, 5, "length")]
    assert (samples.prompt_tokens, samples.completion_tokens) == (5, 4)


def test_where_an_engine_counts_all_samples_together_they_share_by_length() -> None:
    samples = Samples(2)
    samples.feed(frame((0, "aaaaaa", "stop")) + frame((1, "bb", "stop")) + frame(usage=usage(8)))
    assert [proposal.tokens for proposal in samples.finished("poet")] == [6, 2]


def test_thinking_is_no_part_of_a_proposal_and_of_its_tokens() -> None:
    samples = Samples(1)
    thought = {"index": 0, "delta": {"reasoning_content": "hm hm "}, "finish_reason": None}
    samples.feed(b"data: " + orjson.dumps({"choices": [thought]}) + b"\n\n")
    samples.feed(frame((0, "no", "stop"), usage=usage(4)))
    assert samples.finished("poet") == [Proposal("poet", "no", 1, 5)]


def test_a_sample_without_its_end_or_without_words_is_none() -> None:
    samples = Samples(3)
    samples.feed(frame((0, "half", None)) + frame((1, "whole", "stop")) + frame((2, " ", "stop")))
    assert [proposal.text for proposal in samples.finished("poet")] == ["whole"]


def test_an_error_in_the_stream_is_raised() -> None:
    with pytest.raises(UpstreamError, match="gone"):
        Samples(1).feed(b'data: {"error":{"message":"gone","type":"server_error","param":null,"code":"x"}}\n\n')


@pytest.mark.parametrize(
    "payload", ['{"choices": [', "5", '{"error": "no"}', '{"usage": {"total_tokens": 3}}', '{"choices": 5}']
)
def test_what_is_no_chunk_in_the_stream_is_the_engines_error(payload: str) -> None:
    with pytest.raises(UpstreamError, match="no chat completion chunk") as caught:
        Samples(1).feed(f"data: {payload}\n\n".encode())
    assert caught.value.http_status == 503


async def test_all_samples_come_from_one_request() -> None:
    poet = ScriptedExpert("poet", ("one", "two", "three"))
    run, told = make_run(), list[str]()
    asked = for_proposal(request(), member("poet", 3), "r-1", temperature=0.7)
    found = await sample(poet, asked, run, "proposal", until=run.deadline, on_finished=told.append)
    assert [proposal.text for proposal in found] == ["one", "two", "three"]
    assert (len(poet.asked), told) == (1, ["poet"] * 3)
    (call,) = run.calls
    assert (call.samples, call.prompt_tokens, call.completion_tokens, call.outcome) == (3, 10, 3, "ok")


async def test_samples_that_are_finished_when_time_is_up_are_kept() -> None:
    poet = ScriptedExpert("poet", ("one two", "three four"), stalls_after_words=3)
    run = make_run()
    asked = for_proposal(request(), member("poet", 2), "r-1", temperature=0.7)
    found = await sample(poet, asked, run, "proposal", until=run.deadline - 19.9)
    assert [proposal.text for proposal in found] == ["one two"]
    (call,) = run.calls
    assert (call.completion_tokens, call.outcome) == (3, "deadline_exceeded")  # what was counted when it was cut off
    assert (poet.running, poet.closed) == (0, 1)


@pytest.mark.parametrize(
    ("expert", "error"),
    [
        (ScriptedExpert("poet", error=UnavailableError("away")), UnavailableError),
        (ScriptedExpert("poet", stalls=True), DeadlineError),
        (ScriptedExpert("poet", ("",)), UnavailableError),
    ],
)
async def test_without_any_sample_there_is_an_error(expert: ScriptedExpert, error: type[Exception]) -> None:
    run = make_run()
    asked = for_proposal(request(), member("poet"), "r-1", temperature=0.7)
    with pytest.raises(error):
        await sample(expert, asked, run, "proposal", until=run.deadline - 19.95)
    assert len(run.calls) == 1
    assert expert.running == 0
