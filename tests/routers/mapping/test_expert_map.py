from itertools import product

import numpy as np
import pytest

from routers.errors import BudgetError, MapError
from routers.mapping.expert_map import ExpertMap, learn_map
from routers.mapping.experts import ExpertSize
from routers.mapping.outcomes import OutcomeTable, outcome_table
from routers.prompts import LabelledPrompt


def random_table(seed: int, categories: int = 3, experts: int = 4) -> tuple[OutcomeTable, dict[str, ExpertSize]]:
    rng = np.random.default_rng(seed)
    names = [f"e{i}" for i in range(experts)]
    table = OutcomeTable(
        categories=[f"c{i}" for i in range(categories)],
        experts=names,
        means=rng.random((categories, experts)),
        counts=rng.integers(1, 500, (categories, experts)),
        traffic=0.9 * rng.dirichlet(np.ones(categories)),
        default_traffic=0.1,
    )
    sizes = {name: ExpertSize(*sorted(rng.uniform(1, 20, 2))) for name in names}
    return table, sizes


def expected_score(table: OutcomeTable, choice: tuple[int, ...]) -> float:
    scores = np.vstack([table.shrunk(), table.overall()])
    weights = np.append(table.traffic, table.default_traffic)
    return float(weights @ scores[np.arange(len(choice)), list(choice)])


def within(
    table: OutcomeTable,
    sizes: dict[str, ExpertSize],
    choice: tuple[int, ...],
    active: float | None,
    total: float | None,
) -> bool:
    weights = np.append(table.traffic, table.default_traffic)
    spent = sum(w * sizes[table.experts[i]].active_params_b for w, i in zip(weights, choice, strict=True))
    kept = sum(sizes[table.experts[i]].total_params_b for i in set(choice))
    return (active is None or spent <= active + 1e-9) and (total is None or kept <= total + 1e-9)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(("active", "total"), [(None, None), (8.0, None), (None, 25.0), (10.0, 30.0)])
def test_the_map_is_the_best_of_all_maps_within_the_budgets(
    seed: int, active: float | None, total: float | None
) -> None:
    table, sizes = random_table(seed)
    every = product(range(len(table.experts)), repeat=len(table.categories) + 1)
    allowed = [choice for choice in every if within(table, sizes, choice, active, total)]
    if not allowed:
        with pytest.raises(BudgetError):
            learn_map(table, sizes, max_active_params_b=active, max_total_params_b=total)
        return
    found = learn_map(table, sizes, max_active_params_b=active, max_total_params_b=total)
    names = [*(found.by_category[category] for category in table.categories), found.default]
    choice = tuple(list(table.experts).index(name) for name in names)
    assert within(table, sizes, choice, active, total)
    assert expected_score(table, choice) == pytest.approx(max(expected_score(table, c) for c in allowed), abs=1e-5)


def test_a_budget_that_no_map_fits_is_named() -> None:
    table, _ = random_table(0, experts=2)
    sizes = {"e0": ExpertSize(2, 40), "e1": ExpertSize(9, 9)}
    with pytest.raises(BudgetError, match=r"max_active_params_b=1 .*'e0', has 2"):
        learn_map(table, sizes, max_active_params_b=1)
    with pytest.raises(BudgetError, match=r"max_total_params_b=5 .*'e1', has 9"):
        learn_map(table, sizes, max_total_params_b=5)
    with pytest.raises(BudgetError, match="no expert meets both"):
        learn_map(table, sizes, max_active_params_b=5, max_total_params_b=20)


def test_a_budget_needs_sizes() -> None:
    table, _ = random_table(0)
    with pytest.raises(MapError, match="experts file"):
        learn_map(table, None, max_active_params_b=5)


def test_few_rows_do_not_overturn_an_experts_overall_mean() -> None:
    def rows(category: str, count: int, right: set[str]) -> list[LabelledPrompt]:
        outcomes = {name: float(name in right) for name in ("steady", "lucky")}
        return [LabelledPrompt("x", category, labelled=True, outcomes=outcomes)] * count

    prompts = [*rows("big", 100, {"steady"}), *rows("big", 60, {"lucky"}), *rows("tiny", 2, {"lucky"})]
    learned = learn_map(outcome_table(prompts, ["big", "tiny"], ["lucky", "steady"], 0.05), None)
    assert learned.by_category == {"big": "steady", "tiny": "steady"}


def test_equal_experts_are_told_apart_by_size() -> None:
    table = OutcomeTable(["c"], ["large", "small"], np.full((1, 2), 0.5), np.full((1, 2), 9), np.array([0.95]), 0.05)
    learned = learn_map(table, {"large": ExpertSize(70, 70), "small": ExpertSize(1, 1)})
    assert (learned.expert_for("c"), learned.default) == ("small", "small")


def test_missing_outcomes_do_not_favour_who_was_tried_on_easy_prompts() -> None:
    both = {"everywhere": 1.0, "easy-only": 0.8}
    easy = [LabelledPrompt("x", "easy", labelled=True, outcomes=both)] * 200
    hard = [LabelledPrompt("x", "hard", labelled=True, outcomes={"everywhere": 0.2})] * 200
    learned = learn_map(outcome_table([*easy, *hard], ["easy", "hard"], ["easy-only", "everywhere"], 0.05), None)
    assert learned.expert_for("easy") == "everywhere"


def test_an_unmapped_category_and_general_go_to_the_default() -> None:
    expert_map = ExpertMap("a", {"law": "b"}, {"a": None, "b": None})
    assert [expert_map.expert_for(c) for c in ("law", "general", "unheard of")] == ["b", "a", "a"]


def test_a_map_names_experts_of_its_pool_only() -> None:
    with pytest.raises(MapError, match="'c'"):
        ExpertMap("a", {"law": "c"}, {"a": None})
