"""Sums of outcomes by pairs of experts, and what they prove."""

import numpy as np
import pytest
from numpy.typing import NDArray

from routers.mapping.outcomes import Outcomes
from routers.mapping.paired import PRIOR_ROWS, PairedScores
from tests.routers.mapping.conftest import MakePaired

EXPERTS = ("a", "b", "c")


def with_holes(seed: int, rows: int = 80) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(rows, experts) scores, a third of them missing, and each row's category of four; none is of the last."""
    rng = np.random.default_rng(seed)
    scores = rng.random((rows, 3))
    scores[rng.random(scores.shape) < 1 / 3] = np.nan
    return scores, rng.integers(0, 3, rows)


def outcomes(scores: NDArray[np.float64]) -> Outcomes:
    return Outcomes(EXPERTS, scores)


def test_sums_run_over_the_rows_that_hold_both_experts() -> None:
    scores, found = with_holes(0)
    paired = PairedScores.of(outcomes(scores), found, 4)
    for category in range(4):
        for i in range(3):
            for j in range(3):
                both = (found == category) & ~np.isnan(scores[:, i]) & ~np.isnan(scores[:, j])
                own, other = scores[both, i], scores[both, j]
                sums = (paired.sums, paired.squares, paired.products)
                assert paired.counts[category, i, j] == both.sum()
                expected = (own.sum(), (own**2).sum(), (own * other).sum())
                assert [array[category, i, j] for array in sums] == pytest.approx(expected)
    assert paired.traffic.tolist() == [*np.bincount(found), 0]


def test_means_are_those_of_the_rows() -> None:
    scores, found = with_holes(1)
    paired = PairedScores.of(outcomes(scores), found, 4)
    for category in range(3):
        assert paired.means()[category] == pytest.approx(np.nanmean(scores[found == category], axis=0))
    assert paired.means()[3].tolist() == [0, 0, 0]
    assert paired.rows()[:3] == pytest.approx(np.array([(~np.isnan(scores[found == c])).sum(axis=0) for c in range(3)]))


def test_two_halves_make_the_whole() -> None:
    scores, found = with_holes(2)
    whole = PairedScores.of(outcomes(scores), found, 4)
    first, second = (PairedScores.of(outcomes(scores[half]), found[half], 4) for half in (slice(30), slice(30, None)))
    both = first.plus(second, with_traffic=True)
    for name in ("counts", "sums", "squares", "products", "traffic"):
        assert getattr(both, name) == pytest.approx(getattr(whole, name))
    assert first.plus(second, with_traffic=False).traffic.tolist() == first.traffic.tolist()


def test_an_expert_that_one_half_has_is_taken_over() -> None:
    scores, found = with_holes(3)
    first = PairedScores.of(Outcomes(("a", "b"), scores[:40, :2]), found[:40], 4)
    second = PairedScores.of(Outcomes(("c", "a"), scores[40:, [2, 0]]), found[40:], 4)
    both = first.plus(second, with_traffic=True)
    known = scores.copy()
    known[:40, 2], known[40:, 1] = np.nan, np.nan
    whole = PairedScores.of(outcomes(known), found, 4)
    assert both.experts == EXPERTS
    for name in ("counts", "sums", "squares", "products"):
        assert getattr(both, name) == pytest.approx(getattr(whole, name))


def test_experts_are_picked_and_put_in_order() -> None:
    scores, found = with_holes(4)
    whole = PairedScores.of(outcomes(scores), found, 4)
    picked = whole.only(("c", "unheard-of", "a"))
    assert picked.means()[:, [0, 2]] == pytest.approx(whole.means()[:, [2, 0]])
    assert not picked.rows()[:, 1].any()
    assert picked.products[:, 0, 2] == pytest.approx(whole.products[:, 2, 0])


def test_few_rows_are_drawn_to_the_experts_overall_score() -> None:
    scores = np.array([[0.8, 0.4]] * 1_000 + [[0.0, 1.0]])
    paired = PairedScores.of(Outcomes(("a", "b"), scores), np.array([0] * 1_000 + [1]), 3)
    shrunk = paired.shrunk()
    assert shrunk[0] == pytest.approx([0.8, 0.4], abs=0.01)
    assert shrunk[1] == pytest.approx([0.8, 0.4], abs=0.15)
    assert shrunk[2] == pytest.approx(paired.overall(), abs=1e-6)


def test_as_many_rows_as_the_prior_weigh_as_much() -> None:
    scores = np.array([[0.9, 0.1]] * PRIOR_ROWS + [[0.1, 0.9]] * PRIOR_ROWS)
    paired = PairedScores.of(Outcomes(("a", "b"), scores), np.repeat([0, 1], PRIOR_ROWS), 2)
    assert paired.overall() == pytest.approx([0.5, 0.5])
    assert paired.shrunk() == pytest.approx(np.array([[0.7, 0.3], [0.3, 0.7]]))


def test_abilities_are_as_if_all_had_been_tried_everywhere() -> None:
    ability, ease = np.array([0.5, 0.6, 0.4]), np.array([0.3, -0.3])
    scores = ability + ease[np.repeat([0, 1], 50)][:, None]
    scores[50:, 2] = np.nan
    paired = PairedScores.of(outcomes(scores), np.repeat([0, 1], 50), 2)
    found = paired.overall()
    assert found - found[0] == pytest.approx(ability - ability[0], abs=1e-6)
    assert paired.means()[0, 2] > paired.means().mean(axis=0)[1]  # which is what its own rows alone would say


def test_a_better_expert_is_proven_and_a_worse_one_is_not(make_paired: MakePaired) -> None:
    values = make_paired([[0.5, 0.8, 0.3]], 100).p_values(0)
    assert values[0, 1] < 0.001
    assert values[0, 0] == values[0, 2] == 1


def test_more_rows_prove_more(make_paired: MakePaired) -> None:
    few, many = (make_paired([[0.5, 0.65]] * 20, rows).p_values(0)[:, 1] for rows in (30, 300))
    assert np.median(many) < 0.01 < np.median(few)


@pytest.mark.parametrize(("chance", "rows"), [(0.5, 20), (0.5, 200), (0.9, 50), (0.05, 50)])
def test_equal_experts_are_seldom_taken_for_better_ones(make_paired: MakePaired, chance: float, rows: int) -> None:
    values = make_paired([[chance, chance]] * 800, rows).p_values(0)[:, 1]
    for level in (0.05, 0.2):
        error = (level * (1 - level) / 800) ** 0.5
        assert (values <= level).mean() <= level + 3 * error


def test_the_same_prompts_tell_two_experts_apart_better_than_different_ones() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(300)
    same = np.column_stack([hard > 0.5, hard > 0.4]).astype(np.float64)
    apart = same.copy()
    apart[::2, 0], apart[1::2, 1] = np.nan, np.nan
    of_same, of_apart = (
        PairedScores.of(Outcomes(("a", "b"), scores), np.zeros(300, dtype=np.int64), 1).p_values(0)[0, 1]
        for scores in (same, apart)
    )
    assert of_same < 0.001 < of_apart


def test_rows_of_one_expert_each_are_evidence_too() -> None:
    rng = np.random.default_rng(0)
    scores = np.full((400, 2), np.nan)
    scores[:200, 0], scores[200:, 1] = rng.random(200) < 0.3, rng.random(200) < 0.8
    paired = PairedScores.of(Outcomes(("a", "b"), scores), np.zeros(400, dtype=np.int64), 1)
    difference, error = paired.differences(0)
    assert difference[0, 1] == pytest.approx(scores[200:, 1].mean() - scores[:200, 0].mean())
    assert error[0, 1] == pytest.approx(np.sqrt(0.3 * 0.7 / 200 + 0.8 * 0.2 / 200), rel=0.1)
    assert paired.p_values(0)[0, 1] < 1e-6


@pytest.mark.parametrize("rows", [0, 1])
def test_where_nothing_can_be_said_the_p_value_is_one(rows: int) -> None:
    scores = np.tile([0.0, 1.0], (rows, 1))
    paired = PairedScores.of(Outcomes(("a", "b"), scores), np.zeros(rows, dtype=np.int64), 2)
    with np.errstate(all="raise"):
        assert (paired.p_values(0) == 1).all()


def test_three_equal_differences_are_no_certainty() -> None:
    paired = PairedScores.of(Outcomes(("a", "b"), np.tile([0.0, 1.0], (3, 1))), np.zeros(3, dtype=np.int64), 1)
    assert 1e-4 < paired.p_values(0)[0, 1] < 0.05
