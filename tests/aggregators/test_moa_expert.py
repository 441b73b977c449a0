import asyncio
from dataclasses import replace

import pytest

from coe.errors import DeadlineError, ErrorBody, InvalidRequestError, RequestError, UnavailableError, UpstreamError
from coe.plan.options import PlanOptions
from coe.plan.plans import Moa
from coe.plan.request import JsonValue
from tests.aggregators.scripted_experts import (
    PROMPT,
    PROMPT_TOKENS,
    TERMS,
    Away,
    ScriptedExpert,
    member,
    request,
    self_moa,
    tell,
    with_terms,
)

SCHEMA: JsonValue = {"type": "json_object"}
FULL = UpstreamError(400, ErrorBody("This model's maximum context length is 9 tokens", "x", None, None))


def moa(*proposers: str, layers: int = 1, aggregator: str = "judge", **log_odds: float) -> Moa:
    return Moa(
        label="moa",
        proposers=tuple(member(name) for name in proposers),
        aggregator=member(aggregator),
        prompt=PROMPT,
        terms=TERMS,
        layers=layers,
        log_odds=log_odds,
    )


def named(*names: str) -> list[ScriptedExpert]:
    return [ScriptedExpert(name) for name in names]


def system(asked: object) -> str:
    assert isinstance(asked, ScriptedExpert)
    message = asked.asked[-1].messages[0]
    assert isinstance(message, dict)
    return str(message["content"])


async def test_self_moa_asks_once_for_all_samples_and_once_to_merge_them() -> None:
    poet = ScriptedExpert("poet", ("one", "two", "three", "the best"))
    told = await tell(self_moa(3), request("Why?"), poet)
    assert (told.text, told.answer.expert) == ("the best", "poet")
    samples, merging = poet.asked
    assert (samples.fields["n"], samples.fields["temperature"]) == (3, 0.7)
    assert merging.fields["temperature"] == 0
    assert merging.messages == [
        {"role": "system", "content": "Merge these.\n\n1. one\n\n2. two\n\n3. three"},
        {"role": "user", "content": "Why?"},
    ]


async def test_moa_asks_every_proposer_and_later_layers_see_the_layer_before() -> None:
    ann, bob = ScriptedExpert("ann", ("a1", "a2")), ScriptedExpert("bob", ("b1", "b2"))
    judge = ScriptedExpert("judge", ("done",))
    told = await tell(moa("ann", "bob", layers=2), request(), ann, bob, judge)
    assert (told.text, told.answer.expert) == ("done", "judge")
    assert system(ann) == system(bob) == "Merge these.\n\n1. a1\n\n2. b1"
    assert system(judge) == "Merge these.\n\n1. a2\n\n2. b2"


async def test_usage_adds_up_all_calls_and_lists_them_on_request() -> None:
    poet = ScriptedExpert("poet", ("one", "two two", "three", "the best"))
    plain = await tell(self_moa(3), request(), poet)
    itemised = await tell(self_moa(3), request(options=PlanOptions(itemised=True)), poet)
    assert plain.usage == {"prompt_tokens": 2 * PROMPT_TOKENS, "completion_tokens": 6, "total_tokens": 26}
    assert "coe" not in plain.body
    assert itemised.usage == plain.usage
    calls = itemised.body["coe"]["calls"]
    assert [(call["role"], call["samples"], call["completion_tokens"]) for call in calls] == [
        ("proposal", 3, 4),
        ("aggregation", 1, 2),
    ]


async def test_tools_and_format_are_the_aggregators_alone() -> None:
    poet = ScriptedExpert("poet")
    tools: JsonValue = [{"type": "function", "function": {"name": "look"}}]
    await tell(self_moa(2), request(tools=tools, tool_choice="auto", response_format=SCHEMA), poet)
    samples, merging = poet.asked
    assert not {"tools", "tool_choice", "response_format"} & samples.fields.keys()
    assert (merging.fields["tools"], merging.fields["response_format"]) == (tools, SCHEMA)


async def test_a_proposer_that_fails_is_left_out_and_told_of() -> None:
    ann, bob = ScriptedExpert("ann", error=UnavailableError("x", code="engine_died")), ScriptedExpert("bob", ("b",))
    judge = ScriptedExpert("judge")
    told = await tell(moa("ann", "bob"), request(), ann, bob, judge)
    assert system(judge) == "Merge these.\n\n1. b"
    assert told.notes == ["left_out=ann:engine_died"]


async def test_whatever_an_engine_calls_its_error_is_safe_in_a_header() -> None:
    odd = UpstreamError(503, ErrorBody("x", "y", None, "bad\r\nx-evil: 1 ü"))
    told = await tell(moa("ann", "bob"), request(), ScriptedExpert("ann", error=odd), *named("bob", "judge"))
    assert told.notes == ["left_out=ann:bad??x-evil:?1??"]


async def test_a_proposer_that_is_late_is_left_out_and_stopped() -> None:
    ann, bob = ScriptedExpert("ann", stalls=True), ScriptedExpert("bob")
    judge = ScriptedExpert("judge")
    plan = moa("ann", "bob")
    told = await tell(replace(plan, terms=replace(TERMS, proposal_timeout_s=0.05)), request(), ann, bob, judge)
    assert told.notes == ["left_out=ann:deadline_exceeded"]
    assert ann.running == 0


async def test_of_one_experts_samples_those_that_are_late_are_left_out() -> None:
    poet = ScriptedExpert("poet", ("one", "two two two", "merged"), stalls_after_words=2)
    asking = asyncio.create_task(tell(with_terms(self_moa(2), proposal_timeout_s=0.05), request(), poet))
    told = await asking
    assert told.notes == ["left_out=poet(1/2):unfinished"]
    assert system(poet) == "Merge these.\n\n1. one"


async def test_too_few_proposals_are_an_error() -> None:
    ann, bob = ScriptedExpert("ann", error=UnavailableError("x")), ScriptedExpert("bob")
    plan = replace(moa("ann", "bob"), terms=replace(TERMS, min_proposals=2))
    with pytest.raises(UnavailableError, match=r"Only 1 of 2 proposals came; the plan `moa` needs 2") as caught:
        await tell(plan, request(), ann, bob, ScriptedExpert("judge"))
    assert caught.value.code == "too_few_proposals"


async def test_what_the_client_did_wrong_is_told_as_the_engine_tells_it() -> None:
    poet = ScriptedExpert("poet", error=InvalidRequestError("bad stop", param="stop"))
    with pytest.raises(InvalidRequestError, match="bad stop"):
        await tell(self_moa(2), request(), poet)


@pytest.mark.parametrize("error", [UnavailableError("x", code="engine_died"), FULL])
async def test_where_the_aggregator_fails_the_best_proposal_is_the_answer(error: RequestError) -> None:
    ann, bob, eve = (ScriptedExpert(name, (text,)) for name, text in (("ann", "4"), ("bob", "5"), ("eve", "5.")))
    judge = ScriptedExpert("judge", error=error)
    told = await tell(moa("ann", "bob", "eve"), request(), ann, bob, eve, judge)
    assert (told.text, told.answer.expert, told.body["model"]) == ("5", "bob", "bob")
    assert told.notes == [f"fallback=judge:{error.body.code or error.body.type}"]
    assert told.usage["completion_tokens"] == 3


async def test_measured_strength_decides_which_proposal_is_best() -> None:
    ann, bob, judge = ScriptedExpert("ann", ("4",)), ScriptedExpert("bob", ("5",)), ScriptedExpert("judge", error=FULL)
    told = await tell(moa("ann", "bob", ann=-0.3, bob=0.6), request(), ann, bob, judge)
    assert told.answer.expert == "bob"


async def test_an_aggregator_that_is_late_falls_back_before_the_time_is_up() -> None:
    poet, judge = ScriptedExpert("poet", ("a",)), ScriptedExpert("judge", stalls=True)
    told = await tell(with_terms(self_moa(1, aggregator="judge"), max_seconds=0.2), request(), poet, judge)
    assert (told.text, told.notes) == ("a", ["fallback=judge:late"])
    assert judge.running == 0


@pytest.mark.parametrize("error", [UnavailableError("x"), InvalidRequestError("bad schema")])
async def test_no_free_text_stands_in_where_a_format_is_demanded(error: RequestError) -> None:
    poet, judge = ScriptedExpert("poet"), ScriptedExpert("judge", error=error)
    with pytest.raises(type(error)):
        await tell(self_moa(1, aggregator="judge"), request(response_format=SCHEMA), poet, judge)


async def test_a_refusal_of_the_clients_tools_is_no_reason_to_fall_back() -> None:
    poet, judge = ScriptedExpert("poet"), ScriptedExpert("judge", error=InvalidRequestError("bad tools", param="tools"))
    with pytest.raises(InvalidRequestError, match="bad tools"):
        await tell(self_moa(1, aggregator="judge"), request(tools=[{"type": "function"}]), poet, judge)


async def test_proposals_are_cut_to_the_aggregators_context_and_that_is_told() -> None:
    long = " ".join(["word"] * 300)
    poet = ScriptedExpert("poet", (long, "short", "merged"))
    told = await tell(self_moa(2, context=200), request(), poet)
    (note,) = told.notes
    assert note.startswith("trimmed=poet:1/2_to_")
    first, second = system(poet).removeprefix("Merge these.\n\n1. ").split("\n\n2. ")
    assert second == "short"
    assert first.endswith(" […]")
    assert 50 < len(first.split()) < 200 - PROMPT_TOKENS - 64


async def test_no_room_for_any_proposal_is_a_fallback() -> None:
    poet = ScriptedExpert("poet", ("one two three", "two"))
    told = await tell(self_moa(2, context=32), request(), poet)
    assert (told.text, told.notes[1:]) == ("one two three", ["context=poet:no_room", "fallback=poet:no_room"])
    assert len(poet.asked) == 1


async def test_experts_that_are_away_are_swapped_in_one_model_after_another() -> None:
    models = {"far-a1": "a", "here": "h", "far-j": "j", "far-b": "b", "far-a2": "a"}
    plan = replace(
        moa(*models, aggregator="judge"),
        proposers=tuple(member(name, model=model) for name, model in models.items()),
        aggregator=member("judge", model="j"),
    )
    order: list[str] = []
    experts = [ScriptedExpert(name, (name,), journal=order) for name in (*models, "judge")]
    await tell(plan, request(), *experts, residency=Away({"far-a1", "far-a2", "far-b", "far-j"}))
    assert order[:2] == ["+here", "-here"]
    assert set(order[2:4]) == {"+far-a1", "+far-a2"}
    assert set(order[4:6]) == {"-far-a1", "-far-a2"}
    assert order[6:] == [
        "+far-b",
        "-far-b",
        "+far-j",
        "-far-j",
        "+judge",
        "-judge",
    ]  # the aggregator's model comes last
    merging = experts[-1].asked[-1].messages[0]
    assert isinstance(merging, dict)
    listed = ("far-a1", "here", "far-j", "far-b", "far-a2")  # in the plan's order, whoever came first
    assert merging["content"] == "Merge these.\n\n" + "\n\n".join(f"{i}. {each}" for i, each in enumerate(listed, 1))


async def test_a_plan_that_takes_too_long_is_given_up_in_every_call() -> None:
    poet = ScriptedExpert("poet", stalls=True)
    with pytest.raises(DeadlineError):
        await tell(with_terms(self_moa(2), max_seconds=0.1), request(), poet)
    assert poet.running == 0
