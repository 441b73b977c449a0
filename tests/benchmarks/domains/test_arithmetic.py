"""The last stated number decides, whatever stands around it."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.domains.arithmetic import Arithmetic
from benchmarks.domains.task import Split, Task

DOMAIN = Arithmetic()
TASK = Task("arithmetic", "t", "4 boxes of 12, and 7 more?", "4 * 12 = 48\n48 + 7 = 55\nAnswer: 55", "55")
STEP = re.compile(r"(\d+) ([-+*/]) (\d+) = (\d+)")


@pytest.mark.parametrize(
    "answer",
    ["55", "Answer: 55", "**Answer:** 55.", "She has 55 apples.", "48 + 7 = 55", "Answer: 55\nThat is 48 + 7."],
)
def test_a_right_number_is_right_in_any_clothes(answer: str) -> None:
    assert DOMAIN.score(TASK, answer)


@pytest.mark.parametrize("answer", ["54", "Answer: 5", "Answer: 555", "55 or 56", "Answer: 54, not 55", "-55", "fifty"])
def test_another_number_is_wrong(answer: str) -> None:
    assert not DOMAIN.score(TASK, answer)


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_every_step_is_true_and_its_numbers_are_small(split: Split) -> None:
    for task in DOMAIN.generate(split, 300, seed=5):
        *steps, last = task.completion.splitlines()
        results = [_result(step) for step in steps]
        assert 1 <= len(results) <= 2
        assert all(1 <= result <= 200 for result in results)
        assert last == f"Answer: {results[-1]}"


@given(st.text(max_size=300))
def test_no_text_makes_the_judge_raise(answer: str) -> None:
    assert DOMAIN.score(TASK, answer) in {True, False}


def _result(step: str) -> int:
    match = STEP.fullmatch(step)
    assert match is not None
    left, operator, right, result = match.groups()
    values = {"+": int(left) + int(right), "-": int(left) - int(right), "*": int(left) * int(right)}
    values["/"] = int(left) // int(right)
    assert values[operator] == int(result)
    return int(result)
