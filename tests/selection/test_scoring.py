"""What an expert is worth, and who guesses."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.selection.scoring import chance_of, suspicions
from tests.selection.planted import CHANCE, ROWS, candidate, lucky, solver


def test_the_score_weighs_right_answers_and_the_likelihood_of_the_reasoning() -> None:
    measured = candidate("a", [True, False], [math.log(2), math.log(2)])
    assert measured.accuracy == 0.5
    assert measured.nll == pytest.approx(math.log(2))
    assert measured.score == pytest.approx((0.5 + 0.5) / 2)


@given(st.lists(st.tuples(st.booleans(), st.floats(0, 1e4)), min_size=1))
def test_a_score_lies_between_0_and_1(rows: list[tuple[bool, float]]) -> None:
    assert 0 <= candidate("a", [ok for ok, _ in rows], [nll for _, nll in rows]).score <= 1


@pytest.mark.parametrize(
    ("references", "chance"), [(["a", "b", "b", "c"], 0.5), (["a", "b", "c"], 0.0), ([], 0.0), (["a", "a"], 1.0)]
)
def test_chance_is_the_best_constant_answer_and_none_where_no_answer_repeats(
    references: list[str | None], chance: float
) -> None:
    assert chance_of(references) == chance


def test_who_is_right_as_often_as_a_constant_answer_guesses() -> None:
    found = suspicions([solver("half", 0.54, 1), solver("good", 0.8, 2)], CHANCE)
    assert found["half"].reason == "guess"
    assert found["half"].p_guess > 0.05
    assert found["good"].reason is None
    assert found["good"].p_guess < 0.001


def test_where_nothing_can_be_guessed_one_right_answer_is_enough() -> None:
    weak, useless = solver("weak", 1 / ROWS, 1), solver("useless", 0.0, 2)
    found = suspicions([weak, useless], chance=0.0)
    assert (found["weak"].reason, found["useless"].reason) == (None, "guess")


def test_who_is_right_without_finding_the_reasoning_likely_guesses() -> None:
    solvers = [solver("a", 0.8, 1), solver("b", 0.7, 2), solver("c", 0.75, 3)]
    found = suspicions([*solvers, lucky("planted", 0.75, 4)], CHANCE)
    assert {name for name, suspicion in found.items() if suspicion.reason} == {"planted"}
    planted = found["planted"]
    assert planted.reason == "unlikely reasoning"
    assert planted.p_guess < 0.05  # by its right answers alone nobody would have noticed
    assert planted.likelihood_z is not None
    assert planted.likelihood_z > 3.5


def test_another_style_is_no_guess_where_likelihood_and_right_answers_go_together() -> None:
    solvers = [solver("a", 0.8, 1), solver("b", 0.7, 2), solver("c", 0.75, 3)]
    found = suspicions([*solvers, solver("terse", 0.75, 4, likelihood=4.0)], CHANCE)
    assert found["terse"].likelihood_z is not None
    assert found["terse"].likelihood_z > 3.5
    assert found["terse"].reason is None


def test_two_candidates_cannot_say_which_likelihood_is_usual() -> None:
    found = suspicions([solver("a", 0.8, 1), lucky("b", 0.8, 2)], CHANCE)
    assert [suspicion.likelihood_z for suspicion in found.values()] == [None, None]
    assert [suspicion.reason for suspicion in found.values()] == [None, None]


def test_being_always_right_speaks_for_an_expert() -> None:
    solvers = [solver("a", 0.8, 1), solver("b", 0.7, 2), solver("c", 0.75, 3)]
    found = suspicions([*solvers, lucky("sure", 1.0, 4)], CHANCE)
    assert (found["sure"].p_reasoning, found["sure"].reason) == (None, None)


def test_small_differences_in_likelihood_make_no_outlier() -> None:
    near = [candidate(str(nll), [True] * 10, [nll] * 10) for nll in (0.5, 0.5, 0.5, 0.6)]
    assert all((suspicion.likelihood_z or 0) < 3.5 for suspicion in suspicions(near, CHANCE).values())
