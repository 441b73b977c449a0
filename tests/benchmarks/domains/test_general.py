"""An accepted word near the beginning is right; the questions give none of them away."""

import pytest

from benchmarks.domains.general import General
from benchmarks.domains.task import Task

DOMAIN = General()
TASK = Task("general", "t", "What money is used in Germany?", "euro", "euro\neuros")


@pytest.mark.parametrize(
    "answer", ["euro", "The Euro.", "They pay in **euros**, I think.", "Germany uses the euro (EUR)"]
)
def test_an_accepted_word_is_right_in_any_case(answer: str) -> None:
    assert DOMAIN.score(TASK, answer)


@pytest.mark.parametrize("answer", ["", "dollars", "eurozone", "neuro", "well " * 60 + "euro"])
def test_another_word_or_a_late_one_is_wrong(answer: str) -> None:
    assert not DOMAIN.score(TASK, answer)


def test_a_hundred_questions_none_of_which_holds_its_answer() -> None:
    tasks = DOMAIN.generate("heldout", 100, seed=0)
    assert [task.prompt for task in tasks if DOMAIN.score(task, task.prompt)] == []
    assert all(DOMAIN.score(task, f"It is {task.completion}.") for task in tasks)


def test_there_is_nothing_to_train_on_and_no_endless_supply() -> None:
    with pytest.raises(ValueError, match="heldout split only"):
        DOMAIN.generate("train", 1, seed=0)
    with pytest.raises(ValueError, match="ask for fewer"):
        DOMAIN.generate("heldout", 10_000, seed=0)
