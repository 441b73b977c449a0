"""Conformal p-values: how many new prompts of the same kind are rejected."""

import numpy as np
import pytest
from numpy.typing import NDArray

from routers.abstention import MAX_CALIBRATION, Evidence, candidates, fit_abstention, scaled, separation

ONE = Evidence(("energy",), np.zeros(1), np.ones(1))


def scores(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """(count, 1): signals with a heavy tail, which no normal approximation would get right."""
    return rng.standard_t(3, size=(count, 1))


@pytest.mark.parametrize("held_out", [19, 100, 1_000])
@pytest.mark.parametrize("reject_rate", [0.01, 0.05, 0.2])
def test_no_more_than_the_rate_of_new_prompts_is_rejected(held_out: int, reject_rate: float) -> None:
    rng = np.random.default_rng(held_out)
    repetitions, new = 400, 100
    shares = []
    for _ in range(repetitions):
        abstention = fit_abstention(scores(rng, held_out), ONE, reject_rate)
        shares.append(abstention.rejects(abstention.scores(scores(rng, new))).mean())
    expected = np.floor(reject_rate * (held_out + 1)) / (held_out + 1)
    error = np.std(shares) / np.sqrt(repetitions) + 1e-9
    assert abs(np.mean(shares) - expected) < 4 * error
    assert expected <= reject_rate


def test_p_values_are_shares_of_what_is_no_more_at_home() -> None:
    abstention = fit_abstention(np.array([[3.0], [1.0], [2.0], [2.0]]), ONE, 0.5)
    found = abstention.scores(np.array([[0.0], [1.0], [2.0], [2.5], [9.0]]))
    assert found == pytest.approx([1 / 5, 2 / 5, 4 / 5, 4 / 5, 1])
    assert abstention.rejects(found).tolist() == [True, True, False, False, False]


def test_a_rate_of_zero_rejects_nothing() -> None:
    abstention = fit_abstention(scores(np.random.default_rng(0), 50), ONE, 0.0)
    assert not abstention.rejects(abstention.scores(np.array([[-1e9], [0.0], [1e9]]))).any()


def test_thinned_scores_give_nearly_the_same_p_values() -> None:
    rng = np.random.default_rng(0)
    inside, new = scores(rng, 50_000), scores(rng, 1_000)
    abstention = fit_abstention(inside, ONE, 0.05)
    assert len(abstention.calibration) == MAX_CALIBRATION
    assert (np.diff(abstention.calibration) >= 0).all()
    assert (abstention.calibration[0], abstention.calibration[-1]) == (inside.min(), inside.max())
    exact = (1 + (inside[:, 0] <= new).sum(axis=1)) / (1 + len(inside))
    error = abstention.scores(new) - exact
    assert np.abs(error).max() <= 2 / MAX_CALIBRATION
    assert (error[exact <= 0.2] >= 0).all()


def test_signals_of_different_scales_have_the_same_say() -> None:
    rng = np.random.default_rng(0)
    inside = np.column_stack([rng.normal(5, 100, 500), rng.normal(-1, 0.01, 500)])
    evidence = scaled(("energy", "distance"), inside)
    of_first = evidence.of(inside + np.array([100.0, 0])) - evidence.of(inside)
    of_second = evidence.of(inside + np.array([0, 0.01])) - evidence.of(inside)
    assert of_first == pytest.approx(of_second, rel=0.1)


def test_a_signal_that_never_differs_divides_by_nothing() -> None:
    evidence = scaled(("energy",), np.ones((5, 1)))
    assert evidence.of(np.array([[1.0], [2.0]])).tolist() == [0, 1]


def test_the_margin_is_tried_where_there_is_a_class_for_it() -> None:
    assert not any("margin" in signals for signals in candidates(outlier_class=False))
    assert ("margin",) in candidates(outlier_class=True)
    assert candidates(outlier_class=True)[-1] == ("energy", "distance", "margin")


def test_separation_is_how_often_in_scope_is_above() -> None:
    assert separation(ONE, np.array([[3.0], [4.0]]), np.array([[1.0], [2.0]])) == 1
    assert separation(ONE, np.array([[1.0], [4.0]]), np.array([[2.0]])) == 0.5
