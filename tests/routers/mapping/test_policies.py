"""Which policy is chosen, on data in which it is known who should be."""

from collections.abc import Callable
from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from routers.errors import BudgetError
from routers.mapping.estimators import Inputs
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.mapping.outcomes import Outcomes
from routers.mapping.policies import MIN_ROWS, Selection, Setting, Situation, frontier, select_policy

CATEGORIES = ("cooking", "law", "maths")
EXPERTS = ("generalist", "giant", "lawyer")
SIZES = {"generalist": ExpertSize(8, 8), "giant": ExpertSize(70, 70), "lawyer": ExpertSize(7, 7)}
Chances = Callable[[NDArray[np.int64], NDArray[np.float32]], list[NDArray[np.float64]]]


def situation(chances: Chances, rows: int = 800, seed: int = 0, experts: tuple[str, ...] = EXPERTS) -> Situation:
    """Rows whose outcomes are drawn by `chances(category, vectors)`, a list with (n,) for each expert."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, len(CATEGORIES), rows)
    found = np.where(rng.random(rows) < 0.05, len(CATEGORIES), true)
    vectors = (2 * np.eye(8)[true] + rng.normal(size=(rows, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    right = np.column_stack([np.broadcast_to(chance, rows) for chance in chances(true, vectors)])
    return Situation(
        CATEGORIES,
        Inputs(vectors, 0.9 * np.eye(len(CATEGORIES))[true] + 0.1 / len(CATEGORIES)),
        found,
        true,
        Outcomes(experts, (rng.random(right.shape) < right).astype(np.float64)),
        rng.integers(0, 4, rows),
    )


def specialised(category: NDArray[np.int64], _: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return [np.full(len(category), 0.6), np.full(len(category), 0.62), np.where(category == 1, 0.95, 0.2)]


def within_categories(category: NDArray[np.int64], vectors: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    up = vectors[:, -1] > 0
    return [np.where(up, 0.9, 0.1), np.full(len(category), 0.5), np.where(up, 0.1, 0.9)]


def all_alike(category: NDArray[np.int64], _: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return [np.full(len(category), 0.5)] * 3


def one_for_all(category: NDArray[np.int64], _: NDArray[np.float32]) -> list[NDArray[np.float64]]:
    return [np.full(len(category), 0.5), np.full(len(category), 0.9), np.full(len(category), 0.4)]


@cache
def selection(chances: Chances) -> Selection:
    return select_policy(situation(chances), Setting(SIZES, Limits()))


def test_a_map_to_specialists_beats_the_best_single_expert() -> None:
    found = selection(specialised)
    assert (found.chosen, found.chooser, found.best_single) == ("map", None, "giant")
    assert found.expert_map.expert_for("law") == "lawyer"
    assert "lawyer" not in {found.expert_map.expert_for(category) for category in ("cooking", "maths", "general")}
    held_out = found.held_out
    assert held_out is not None
    assert held_out.gain.ci95 is not None
    assert held_out.gain.ci95[0] > 0


def test_every_policy_and_reference_is_told() -> None:
    scores = {score.name: score for score in selection(specialised).scores}
    references = {"true category", "best single", "random", "oracle"}
    assert scores.keys() == {"map", "soft", "direct", "neighbours", "clusters"} | references
    assert scores["random"].score < scores["best single"].score < scores["map"].score < scores["oracle"].score
    assert scores["best single"].gain.mean == 0
    assert scores["best single"].active_params_b == 70


def test_what_vectors_tell_within_a_category_calls_for_a_chooser() -> None:
    found = selection(within_categories)
    assert found.chosen in {"direct", "neighbours"}
    assert found.chooser is not None
    assert found.held_out is not None
    of_map = next(score for score in found.scores if score.name == "map")
    assert found.held_out.score > of_map.score + 0.1
    new = situation(within_categories, seed=1)
    chosen = np.array(found.chooser.experts_for(new.inputs))
    assert (chosen == np.where(new.inputs.vectors[:, -1] > 0, "generalist", "lawyer")).mean() > 0.8


@pytest.mark.parametrize("chances", [all_alike, one_for_all])
def test_where_routing_cannot_gain_none_is_claimed(chances: Chances) -> None:
    found = selection(chances)
    assert (found.chosen, found.chooser) == ("map", None)
    assert found.held_out is not None
    assert found.held_out.gain.ci95 is not None
    assert found.held_out.gain.ci95[0] <= 0


def test_an_expert_that_is_best_everywhere_is_asked_everywhere() -> None:
    learned = selection(one_for_all).expert_map
    assert {learned.default, *learned.by_category.values()} == {"giant"}


def test_too_few_complete_rows_compare_nothing() -> None:
    few = situation(specialised, rows=200)
    few.outcomes.scores[MIN_ROWS - 1 :, 2] = np.nan
    found = select_policy(few, Setting(SIZES, Limits()))
    assert (found.chosen, found.scores, found.held_out, found.best_single) == ("map", (), None, None)
    assert found.expert_map.default in EXPERTS


@pytest.mark.parametrize("chances", [specialised, within_categories])
@pytest.mark.parametrize(
    "limits", [Limits(20), Limits(7.6), Limits(None, 20), Limits(max_share={"giant": 0.2}), Limits(30, 90)]
)
def test_what_is_chosen_keeps_to_the_limits(chances: Chances, limits: Limits) -> None:
    found = select_policy(situation(chances), Setting(SIZES, limits))
    new = situation(chances, rows=4_000, seed=1)
    if found.chooser is None:
        names = (*CATEGORIES, "general")
        chosen = np.array([found.expert_map.expert_for(names[i]) for i in new.found])
    else:
        chosen = np.array(found.chooser.experts_for(new.inputs))
        chosen[new.found == len(CATEGORIES)] = found.expert_map.default
    active = np.array([SIZES[name].active_params_b for name in chosen])
    assert limits.max_active_params_b is None or active.mean() <= 1.03 * limits.max_active_params_b
    total = sum(SIZES[name].total_params_b for name in set(chosen))
    assert limits.max_total_params_b is None or total <= limits.max_total_params_b
    for name, share in limits.max_share.items():
        assert (chosen == name).mean() <= share + 0.03


def test_shares_that_only_the_whole_traffic_meets_can_be_judged_by_folds() -> None:
    """Each expert may get what one category has of all rows, and none of the folds has the same mix."""
    known = situation(specialised)
    cooking, law, maths, general = np.bincount(known.found, minlength=4) / len(known.found) + 1e-4
    found = select_policy(
        known, Setting(SIZES, Limits(max_share={"giant": cooking + general, "lawyer": law, "generalist": maths}))
    )
    assert found.expert_map.expert_for("law") == "lawyer"
    assert found.held_out is not None


def test_limits_that_nothing_meets_are_told() -> None:
    with pytest.raises(BudgetError, match="max_active_params_b=3"):
        select_policy(situation(specialised, rows=60), Setting(SIZES, Limits(3)))


def test_the_frontier_rises_with_the_budget_and_keeps_to_it() -> None:
    points = frontier(situation(specialised, rows=1_500), Setting(SIZES, Limits()), [3, 7, 8, 20, 40, 70])
    assert [budget for budget, _ in points] == [7, 8, 20, 40, 70]
    scores = [score.score for _, score in points]
    assert all(later > earlier - 0.01 for earlier, later in pairwise(scores))
    assert scores[-1] > scores[0] + 0.1
    for budget, score in points:
        assert score.active_params_b is not None
        assert score.active_params_b <= 1.03 * budget


def test_progress_ends_at_its_total() -> None:
    told: list[tuple[int, int]] = []
    select_policy(situation(specialised, rows=100), Setting(None, Limits()), lambda done, of: told.append((done, of)))
    assert told == [(number, len(told)) for number in range(1, len(told) + 1)]
