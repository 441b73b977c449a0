import pytest

from coe.aggregators.prompts import PromptKind, aggregation, check_prompt, judgement, own_prompt
from coe.errors import InputError


@pytest.mark.parametrize("kind", ["aggregate", "judge"])
def test_the_prompts_that_ship_have_their_places(kind: PromptKind) -> None:
    assert check_prompt(kind, own_prompt(kind)) == own_prompt(kind)


def test_proposals_are_numbered_in_their_order() -> None:
    told = aggregation(own_prompt("aggregate"), ["first ", "costs $5"])
    assert told.endswith("1. first\n\n2. costs $5")
    assert "$proposals" not in told


def test_a_judge_sees_the_question_and_both_answers() -> None:
    assert judgement("$question|$first|$second|$$", "q", "a", "b") == "q|a|b|$"


@pytest.mark.parametrize("text", ["", "Merge.", "$proposals $others", "$proposals for $5", "$first $second"])
def test_a_prompt_without_its_places_is_refused_with_their_names(text: str) -> None:
    with pytest.raises(InputError, match=r"must have the places `\$proposals` and no other"):
        check_prompt("aggregate", text)
