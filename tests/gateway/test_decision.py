import pytest

from coe.errors import ModelNotFoundError
from coe.gateway.decision import Decider
from coe.gateway.fleet import Fleet
from coe.plan.executor import Single
from coe.plan.request import JsonValue
from tests.running_gateway import EXPERTS, GENERAL, ROUTER, ScriptedClassifier


@pytest.fixture
def decider() -> Decider:
    return Decider(ScriptedClassifier(), EXPERTS, GENERAL, Fleet([]))


async def test_the_router_names_the_expert_and_the_general_one_stands_by(decider: Decider) -> None:
    found = await decider.decide("coe", [{"role": "user", "content": "a poem"}])
    assert found.plan == Single("poet", fallback="generalist")
    assert (found.expert, found.category, found.confidence, found.abstained) == ("poet", "poetry", 0.9, False)
    assert (found.router_card, found.router_version) == (ROUTER, ROUTER.version)


@pytest.mark.parametrize(("model", "messages"), [("poet", [{"role": "user", "content": "a poem"}]), ("coe", [])])
async def test_no_version_is_named_where_no_router_decided(
    decider: Decider, model: str, messages: list[JsonValue]
) -> None:
    found = await decider.decide(model, messages)
    assert (found.router_card, found.router_version) == (None, "")


async def test_the_whole_conversation_is_looked_at_where_the_last_message_is_short() -> None:
    classifier = ScriptedClassifier()
    decider = Decider(classifier, EXPERTS, GENERAL, Fleet([]))
    messages = [
        {"role": "system", "content": "Write poems."},
        {"role": "user", "content": "Write a poem about rain."},
        {"role": "assistant", "content": "Drip, drop."},
        {"role": "user", "content": "And in French?"},
    ]
    found = await decider.decide("coe", messages)  # type: ignore[arg-type]  # lists are invariant
    assert found.expert == "poet"
    assert classifier.texts == ["Write a poem about rain.\nAnd in French?"]


@pytest.mark.parametrize("model", ["coe/none", "Poet", "poet ", "general", "poetry"])
async def test_only_the_service_and_its_experts_are_models(decider: Decider, model: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await decider.decide(model, [])
    assert model not in str(caught.value) or model in "generalist"
