"""Which rows and experts can be replayed, and what is wrong with those that cannot."""

from dataclasses import replace

import pytest

from coe.errors import InputError
from coe.replay.recorded import experts_within, recorded
from routers.errors import DataError
from routers.mapping.experts import ExpertSize
from routers.prompts import LabelledPrompt

ROW = LabelledPrompt("2 + 2?", "maths", labelled=True, outcomes={"a": 1, "b": 0}, answers={"a": "(D)"})
SIZES = {"a": ExpertSize(7, 7), "b": ExpertSize(8, 8), "c": ExpertSize(70, 70)}
BOTH = replace(ROW, answers={"a": "D", "b": "D."})


def test_answers_are_in_the_form_that_is_compared_and_silence_is_none() -> None:
    (row,) = recorded([ROW], ("a", "b"))
    assert row.answers == {"a": "D", "b": None}


def test_rows_without_answers_or_with_a_missing_outcome_are_left_out() -> None:
    rows = [ROW, replace(ROW, answers={}), replace(ROW, outcomes={"a": 1})]
    assert len(recorded(rows, ("a", "b"))) == 1
    with pytest.raises(DataError, match="a, b"):
        recorded(rows[1:], ("a", "b"))


def test_data_without_outcomes_or_answers_are_told_apart() -> None:
    with pytest.raises(DataError, match="no `outcomes`"):
        experts_within([replace(ROW, outcomes={})], None, None)
    with pytest.raises(DataError, match="no `answers`"):
        experts_within([replace(ROW, answers={})], None, None)


def test_experts_are_those_with_answers_within_the_limit() -> None:
    rows = [replace(BOTH, outcomes={"a": 1, "b": 0, "c": 1, "mute": 1}, answers={**BOTH.answers, "c": "D"})]
    assert experts_within(rows, None, None) == ("a", "b", "c")
    assert experts_within(rows, SIZES, 9) == ("a", "b")
    assert experts_within(rows, SIZES, None, known={"a", "c"}) == ("a", "c")


def test_a_limit_needs_sizes_and_a_vote_two_experts() -> None:
    with pytest.raises(InputError, match="--experts"):
        experts_within([BOTH], None, 9)
    with pytest.raises(InputError, match="two experts"):
        experts_within([BOTH], SIZES, 7.5)
