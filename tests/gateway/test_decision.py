import pytest

from coe.errors import ModelNotFoundError
from coe.gateway.decision import Decider
from coe.plan.executor import Single
from tests.running_gateway import EXPERTS, GENERAL, ScriptedClassifier


@pytest.fixture
def decider() -> Decider:
    return Decider(ScriptedClassifier(), EXPERTS, {"poetry": "poet"}, GENERAL)


async def test_the_map_leads_from_category_to_expert(decider: Decider) -> None:
    found = await decider.decide("coe", [{"role": "user", "content": "a poem"}])
    assert found.plan == Single("poet", fallback="generalist")
    assert (found.expert, found.category, found.confidence, found.abstained) == ("poet", "poetry", 0.9, False)


async def test_the_whole_conversation_is_looked_at_where_the_last_message_is_short() -> None:
    classifier = ScriptedClassifier()
    decider = Decider(classifier, EXPERTS, {"poetry": "poet"}, GENERAL)
    messages = [
        {"role": "system", "content": "Write poems."},
        {"role": "user", "content": "Write a poem about rain."},
        {"role": "assistant", "content": "Drip, drop."},
        {"role": "user", "content": "And in French?"},
    ]
    found = await decider.decide("coe", messages)  # type: ignore[arg-type]
    assert found.expert == "poet"
    assert classifier.texts == ["Write a poem about rain.\nAnd in French?"]


@pytest.mark.parametrize("model", ["coe/none", "Poet", "poet ", "general", "poetry"])
async def test_only_the_service_and_its_experts_are_models(decider: Decider, model: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await decider.decide(model, [])
    assert model not in str(caught.value) or model in "generalist"
