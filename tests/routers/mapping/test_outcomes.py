"""Outcomes of prompts as a matrix."""

import numpy as np
import pytest

from routers.mapping.outcomes import answered_outcomes_of, experts_seen, outcomes_of
from routers.prompts import LabelledPrompt

PROMPTS = [
    LabelledPrompt("x", outcomes={"b": 1.0, "a": 0.5}),
    LabelledPrompt("y", outcomes={"b": 0.0}),
    LabelledPrompt("z"),
]


def test_what_is_not_known_is_a_hole() -> None:
    assert experts_seen(PROMPTS) == ["a", "b"]
    found = outcomes_of(PROMPTS, ["a", "b"])
    assert np.array_equal(found.scores, [[0.5, 1], [np.nan, 0], [np.nan, np.nan]], equal_nan=True)
    assert found.complete.tolist() == [True, False, False]
    assert found[found.complete].scores.tolist() == [[0.5, 1]]


def test_a_mean_is_of_the_rows_that_tell() -> None:
    assert outcomes_of(PROMPTS, ["a", "b", "nobody"]).overall() == pytest.approx([0.5, 0.5, 0])
    assert outcomes_of([], ["a"]).overall().tolist() == [0]


def test_who_gave_no_answer_has_no_outcome_where_answers_are_told() -> None:
    told = LabelledPrompt("x", outcomes={"a": 1, "b": 0}, answers={"a": "yes"})
    silent = answered_outcomes_of([told, *PROMPTS[:1]], ["a", "b"])
    assert np.array_equal(silent.scores, [[1, np.nan], [0.5, 1]], equal_nan=True)
