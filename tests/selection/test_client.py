"""Measuring experts over HTTP, here those of a scripted service."""

from collections.abc import AsyncIterator

import httpx
import pytest

from coe.errors import InvalidRequestError, StartupError
from coe.messages import Message
from coe.selection.client import Asking, measure
from coe.selection.scoring import Candidate
from coe.selection.shots import Shot
from tests.selection.scripted_service import Script, ScriptedService, listening

SHOTS = (
    Shot((Message("system", "Be brief."), Message("user", "2 + 2?")), "2 and 2 make 4", "4"),
    Shot((Message("user", "3 + 3?"),), "It is 6", "6"),
)
NUMBERS = Asking(check="number")


@pytest.fixture
async def service() -> AsyncIterator[ScriptedService]:
    good = Script({"2 + 2?": "That is 4.", "3 + 3?": "That is 6."}, {"2 + 2?": -0.5, "3 + 3?": -0.25})
    bad = Script({"2 + 2?": "4?", "3 + 3?": "I don't know"}, {"2 + 2?": -2.0, "3 + 3?": -3.0})
    async with listening(ScriptedService({"good": good, "bad": bad})) as service:
        yield service


async def measured(service: ScriptedService, *experts: str, asking: Asking = NUMBERS) -> list[Candidate]:
    async with httpx.AsyncClient(base_url=service.url) as client:
        return await measure(client, experts, SHOTS, asking, lambda *_: None)


async def test_experts_are_observed_on_every_row(service: ScriptedService) -> None:
    good, bad = await measured(service, "good", "bad")
    assert [(row.right, row.final, row.text) for row in good.rows] == [
        (True, "4E+0", "that is 4"),
        (True, "6E+0", "that is 6"),
    ]
    assert [(row.right, row.final) for row in bad.rows] == [(True, "4E+0"), (False, None)]


async def test_only_the_tokens_of_the_completion_count(service: ScriptedService) -> None:
    good, bad = await measured(service, "good", "bad")
    assert [row.nll for row in good.rows] == pytest.approx([0.5, 0.25])
    assert [row.nll for row in bad.rows] == pytest.approx([2.0, 3.0])


async def test_an_expert_answers_greedily_and_goes_on_with_the_reference(service: ScriptedService) -> None:
    await measured(service, "good", asking=Asking(check="number", concurrency=1, max_tokens=7))
    answer, likelihood = service.asked[:2]
    question = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "2 + 2?"}]
    common = {"model": "good", "temperature": 0, "coe": {"cache": "off"}}
    assert answer == common | {"messages": question, "max_tokens": 7}
    assert likelihood == common | {
        "messages": [*question, {"role": "assistant", "content": "2 and 2 make 4"}],
        "add_generation_prompt": False,
        "continue_final_message": True,
        "max_tokens": 1,
        "prompt_logprobs": 0,
    }


async def test_progress_is_told_after_each_row(service: ScriptedService) -> None:
    told: list[tuple[str, int, int]] = []
    async with httpx.AsyncClient(base_url=service.url) as client:
        await measure(client, ["good"], SHOTS, NUMBERS, lambda *news: told.append(news))
    assert told == [("good", 0, 2), ("good", 1, 2), ("good", 2, 2)]


async def test_no_more_requests_run_at_a_time_than_asked_for(service: ScriptedService) -> None:
    service.delay_s = 0.02
    await measured(service, "good", asking=Asking(check="number", concurrency=1))
    assert service.most_running == 1


async def test_unknown_experts_are_named_with_the_known_ones(service: ScriptedService) -> None:
    with pytest.raises(InvalidRequestError, match="no expert `poet`, `coe`; it has: good, bad"):
        await measured(service, "good", "poet", "coe")
    assert service.asked == []


async def test_a_busy_service_is_asked_again(service: ScriptedService) -> None:
    service.refusals = [429, 503, 503]
    (good,) = await measured(service, "good")
    assert good.accuracy == 1


async def test_a_service_that_stays_busy_is_told_at_the_deadline(service: ScriptedService) -> None:
    service.refusals = [503] * 10_000
    with pytest.raises(StartupError, match=r"within 0.2 s.*It last said 503: .*scripted"):
        await measured(service, "good", asking=Asking(deadline_s=0.2))


async def test_a_late_answer_is_told(service: ScriptedService) -> None:
    service.delay_s = 5
    with pytest.raises(StartupError, match=r"gave no answer of `good` within 0.1 s; give a longer --deadline"):
        await measured(service, "good", asking=Asking(deadline_s=0.1))


async def test_a_refusal_is_told(service: ScriptedService) -> None:
    service.refusals = [400]
    with pytest.raises(StartupError, match=r"answered 400: .*scripted"):
        await measured(service, "good")


async def test_an_expert_without_likelihoods_is_told(service: ScriptedService) -> None:
    service.gives_likelihoods = False
    with pytest.raises(StartupError, match="The expert `good` gave no `prompt_logprobs`"):
        await measured(service, "good")


async def test_a_service_that_is_away_is_told(service: ScriptedService) -> None:
    service.url = "http://127.0.0.1:9"
    with pytest.raises(StartupError, match=r"No service answers at http://127.0.0.1:9"):
        await measured(service, "good")


async def test_something_else_at_the_address_is_told() -> None:
    def page(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="<html>")

    async with httpx.AsyncClient(base_url="http://elsewhere", transport=httpx.MockTransport(page)) as client:
        with pytest.raises(StartupError, match="another form than this service"):
            await measure(client, ["good"], SHOTS, NUMBERS, lambda *_: None)
