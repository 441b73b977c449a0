"""Who is preferred to the default, and on what evidence."""

import numpy as np
import pytest

from routers.errors import BudgetError, MapError
from routers.mapping.expert_map import ExpertMap, best_alone, check_limits, learn_map
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.mapping.outcomes import Outcomes
from routers.mapping.paired import PairedScores
from tests.routers.mapping.conftest import MakePaired

CATEGORIES = ("easy", "hard")
SPECIALISED = [[0.8, 0.8], [0.5, 0.9], [0.9, 0.5]]  # easy, hard, general


def test_a_specialist_is_preferred_where_the_evidence_says_so(make_paired: MakePaired) -> None:
    learned = learn_map(make_paired(SPECIALISED, 200), CATEGORIES, None, Limits(), evidence=0.05)
    assert learned.expert_for("hard") == "e1"
    assert learned.expert_for("general") == learned.default == "e0"
    assert learned.evidence == 0.05


def test_without_evidence_the_default_is_kept() -> None:
    # `e1` is right once more than `e0` in `hard`; `e0` is the better one by far elsewhere.
    scores = np.array([[1.0, 0.0]] * 60 + [[1.0, 0.0], [1.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    paired = PairedScores.of(Outcomes(("e0", "e1"), scores), np.array([0] * 60 + [1] * 4), 3)
    assert learn_map(paired, CATEGORIES, None, Limits(), evidence=0.05).expert_for("hard") == "e0"


@pytest.mark.parametrize(("evidence", "most"), [(0.05, 0.12), (0.5, 1.0)])
def test_the_level_bounds_how_often_an_equal_expert_is_preferred(
    make_paired: MakePaired, evidence: float, most: float
) -> None:
    def preferred(seed: int) -> float:
        learned = learn_map(
            make_paired([[0.6, 0.6]] * 10, 60, seed=seed), range_names(9), None, Limits(), evidence=evidence
        )
        strong = max(("e0", "e1"), key=[*learned.by_category.values()].count)
        return float(np.mean([expert != strong for expert in learned.by_category.values()]))

    share = float(np.mean([preferred(seed) for seed in range(20)]))
    assert share <= most
    assert (share > 0.12) == (evidence == 0.5)


def range_names(count: int) -> tuple[str, ...]:
    return tuple(f"c{i}" for i in range(count))


def test_few_rows_do_not_overturn_an_experts_overall_mean() -> None:
    scores = np.array([[0.0, 1.0]] * 100 + [[1.0, 0.0]] * 62)
    paired = PairedScores.of(Outcomes(("lucky", "steady"), scores), np.array([0] * 160 + [1] * 2), 3)
    learned = learn_map(paired, ("big", "tiny"), None, Limits())
    assert learned.by_category == {"big": "steady", "tiny": "steady"}


def test_who_was_tried_on_easy_prompts_only_is_not_favoured() -> None:
    everywhere = np.array([1.0] * 200 + [0.2] * 200)
    easy_only = np.array([0.8] * 200 + [np.nan] * 200)
    paired = PairedScores.of(
        Outcomes(("easy-only", "everywhere"), np.column_stack([easy_only, everywhere])), np.repeat([0, 1], 200), 3
    )
    learned = learn_map(paired, CATEGORIES, None, Limits())
    assert set(learned.by_category.values()) == {"everywhere"}


def test_of_equal_experts_the_smaller_is_taken() -> None:
    paired = PairedScores.of(Outcomes(("large", "small"), np.full((9, 2), 0.5)), np.zeros(9, dtype=np.int64), 2)
    learned = learn_map(paired, ("c",), {"large": ExpertSize(70, 70), "small": ExpertSize(1, 1)}, Limits())
    assert (learned.expert_for("c"), learned.default) == ("small", "small")


def test_the_default_fits_the_limits_alone(make_paired: MakePaired) -> None:
    paired = make_paired([[0.3, 0.6, 0.9]], 50)
    sizes = {"e0": ExpertSize(1, 1), "e1": ExpertSize(7, 47), "e2": ExpertSize(70, 70)}
    assert best_alone(paired, None, Limits()) == 2
    assert best_alone(paired, sizes, Limits(8)) == 1
    assert best_alone(paired, sizes, Limits(8, 20)) == 0
    assert best_alone(paired, sizes, Limits(max_share={"e2": 0.9})) == 1
    assert best_alone(paired, sizes, Limits(0.5)) is None


def test_a_map_keeps_to_its_limits_and_remembers_them(make_paired: MakePaired) -> None:
    sizes = {"e0": ExpertSize(8, 8), "e1": ExpertSize(7, 40)}
    limits = Limits(8, 35)
    learned = learn_map(make_paired(SPECIALISED, 200), CATEGORIES, sizes, limits, evidence=0.05)
    assert (set(learned.by_category.values()), learned.default) == ({"e0"}, "e0")
    assert (learned.limits, learned.pool) == (limits, sizes)
    assert learned.fits_alone("e0")
    assert not replace_limits(learned, Limits(7.5)).fits_alone("e0")


def replace_limits(learned: ExpertMap, limits: Limits) -> ExpertMap:
    return ExpertMap(learned.default, learned.by_category, learned.pool, limits)


def test_an_experts_share_of_the_traffic_is_kept(make_paired: MakePaired) -> None:
    paired = make_paired([[0.2, 0.9]] * 4, 100)
    free = learn_map(paired, range_names(3), None, Limits())
    bound = learn_map(paired, range_names(3), None, Limits(max_share={"e1": 0.5}))
    assert {*free.by_category.values(), free.default} == {"e1"}
    assert [*bound.by_category.values(), bound.default].count("e1") == 2


def test_a_budget_needs_sizes_and_a_share_an_expert_with_outcomes(make_paired: MakePaired) -> None:
    paired = make_paired(SPECIALISED, 5)
    with pytest.raises(MapError, match="experts file"):
        learn_map(paired, CATEGORIES, None, Limits(5))
    with pytest.raises(MapError, match="without outcomes: 'nobody'"):
        learn_map(paired, CATEGORIES, None, Limits(max_share={"nobody": 0.5}))


def test_limits_are_checked_before_anything_is_learned() -> None:
    sizes = {"a": ExpertSize(2, 40), "b": ExpertSize(9, 9)}
    check_limits(["a", "b"], sizes, Limits(2, 40, {"a": 0.1}))
    with pytest.raises(BudgetError, match=r"max_active_params_b=1 .*'a', has 2"):
        check_limits(["a", "b"], sizes, Limits(1))
    with pytest.raises(BudgetError, match="max_active_params_b=5 and max_total_params_b=20 can be met one by one"):
        check_limits(["a", "b"], sizes, Limits(5, 20))
    with pytest.raises(BudgetError, match="may get 90% of the traffic"):
        check_limits(["a", "b"], sizes, Limits(max_share={"a": 0.5, "b": 0.4}))
    with pytest.raises(MapError, match="'c'"):
        check_limits(["a", "b"], sizes, Limits(max_share={"c": 1}))


def test_an_unmapped_category_and_general_go_to_the_default() -> None:
    expert_map = ExpertMap("a", {"law": "b"}, {"a": None, "b": None})
    assert [expert_map.expert_for(c) for c in ("law", "general", "unheard of")] == ["b", "a", "a"]


def test_a_map_names_experts_of_its_pool_only() -> None:
    with pytest.raises(MapError, match="'c'"):
        ExpertMap("a", {"law": "c"}, {"a": None})
