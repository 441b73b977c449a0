from typing import Any

import pytest

from coe.errors import UnavailableError
from coe.plan.plans import Selection
from tests.aggregators.scripted_experts import TERMS, ScriptedExpert, member, request, tell

TOOLS: Any = [{"type": "function", "function": {"name": "look"}}]


def vote(n: int = 3, **log_odds: float) -> Selection:
    names = list(log_odds) or ["poet"]
    proposers = tuple(member(name, n) for name in names)
    return Selection(label="vote", proposers=proposers, by="vote", terms=TERMS, log_odds=log_odds)


def best_of(n: int, contrast: str | None = None) -> Selection:
    weak = member(contrast) if contrast else None
    return Selection(label="best-of-n", proposers=(member("poet", n),), by="likelihood", terms=TERMS, contrast=weak)


@pytest.mark.parametrize("stream", [False, True])
async def test_the_answer_that_most_samples_come_to_wins(stream: bool) -> None:
    poet = ScriptedExpert("poet", ("5", "4", "4."))
    told = await tell(vote(), request(stream=stream), poet)
    assert (told.text, told.answer.expert) == ("4", "poet")
    assert told.usage["completion_tokens"] == 3
    assert len(poet.asked) == 1


async def test_votes_weigh_how_able_experts_are_in_the_category() -> None:
    ann, bob = ScriptedExpert("ann", ("4",)), ScriptedExpert("bob", ("5",))
    assert (await tell(vote(1, ann=-1.0, bob=0.7), request(), ann, bob)).answer.expert == "bob"


async def test_the_likeliest_of_several_samples_is_chosen() -> None:
    poet = ScriptedExpert("poet", ("odd", "plain words", "odd too"), logprobs={"plain": -0.1, "words": -0.1})
    told = await tell(best_of(3), request(), poet)
    assert told.text == "plain words"
    assert (poet.asked[0].fields["logprobs"], poet.asked[0].fields["top_logprobs"]) == (True, 1)


async def test_with_contrast_the_weaker_experts_liking_counts_against_an_answer() -> None:
    likely = {"plain": -0.5, "sharp": -0.6}
    poet = ScriptedExpert("poet", ("plain", "sharp"), logprobs=likely)
    weak = ScriptedExpert("weak", logprobs={"plain": -0.1, "sharp": -5.0})
    assert (await tell(best_of(2), request(), poet)).text == "plain"
    told = await tell(best_of(2, "weak"), request(), poet, weak)
    assert told.text == "sharp"
    asked = weak.asked[0]
    assert asked.messages[-1] == {"role": "assistant", "content": "plain"}
    assert (asked.fields["max_tokens"], asked.fields["continue_final_message"]) == (1, True)
    assert told.usage["completion_tokens"] == 2 + 2


async def test_where_the_weaker_expert_does_not_score_likelihood_alone_decides() -> None:
    poet = ScriptedExpert("poet", ("plain", "sharp"), logprobs={"plain": -0.5, "sharp": -0.6})
    weak = ScriptedExpert("weak", error=UnavailableError("x", code="gone"))
    told = await tell(best_of(2, "weak"), request(), poet, weak)
    assert (told.text, set(told.notes)) == ("plain", {"left_out=weak:gone"})


async def test_samples_have_the_clients_format_because_one_is_the_answer() -> None:
    poet = ScriptedExpert("poet", ("{}",))
    await tell(vote(2), request(response_format={"type": "json_object"}), poet)
    assert poet.asked[0].fields["response_format"] == {"type": "json_object"}


async def test_a_request_with_tools_gets_one_experts_answer() -> None:
    poet = ScriptedExpert("poet", ("call",))
    told = await tell(vote(3), request(tools=TOOLS, temperature=0.3), poet)
    assert (told.text, told.notes) == ("call", ["skipped=tools"])
    (asked,) = poet.asked
    assert (asked.fields["tools"], asked.fields["temperature"], asked.fields.get("n")) == (TOOLS, 0.3, None)
