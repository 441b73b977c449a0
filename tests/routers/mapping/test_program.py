"""The mixed-integer program against all maps, tried one by one."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from routers.errors import BudgetError
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Costs, Limits
from routers.mapping.program import Program, shares, solve_with_margin


def costs(*sizes: tuple[float, float], limits: Limits | None = None) -> Costs:
    """Of experts `e0`, `e1`, … with active and total billions."""
    names = [f"e{i}" for i in range(len(sizes))]
    return Costs.of(
        names, {name: ExpertSize(*size) for name, size in zip(names, sizes, strict=True)}, limits or Limits()
    )


def random_program(seed: int, limits: Limits, categories: int = 3, experts: int = 4) -> Program:
    rng = np.random.default_rng(seed)
    sizes = [tuple(sorted(rng.uniform(1, 20, 2))) for _ in range(experts)]
    traffic = rng.dirichlet(np.ones(categories))
    return Program(rng.random((categories, experts)), traffic, costs(*sizes, limits=limits))


def within(program: Program, choice: NDArray[np.int64], limits: Limits) -> bool:
    known = program.costs
    spent = program.traffic @ known.active[choice]
    kept = known.total[np.unique(choice)].sum()
    got = np.bincount(choice, weights=program.traffic, minlength=len(known.experts))
    return bool(
        (limits.max_active_params_b is None or spent <= limits.max_active_params_b + 1e-6)
        and (limits.max_total_params_b is None or kept <= limits.max_total_params_b + 1e-6)
        and (got <= known.share + 1e-6).all()
    )


def score(program: Program, choice: NDArray[np.int64]) -> float:
    return float(program.traffic @ program.scores[np.arange(len(choice)), choice])


BUDGETS = st.none() | st.floats(2, 30)
SHARES = st.dictionaries(st.sampled_from(["e0", "e1", "e2", "e3"]), st.floats(0, 1), max_size=4)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), BUDGETS, BUDGETS, SHARES)
def test_the_map_is_the_best_of_all_maps_within_the_limits(
    seed: int, active: float | None, total: float | None, share: dict[str, float]
) -> None:
    limits = Limits(active, total, share)
    program = random_program(seed, limits)
    every = [np.array(choice) for choice in product(range(4), repeat=3)]
    allowed = [choice for choice in every if within(program, choice, limits)]
    if not allowed:
        with pytest.raises(BudgetError):
            program.solve(limits)
        return
    found = program.solve(limits)
    assert within(program, found, limits)
    assert score(program, found) == pytest.approx(max(score(program, choice) for choice in allowed), abs=1e-5)


@pytest.mark.parametrize("limits", [Limits(6), Limits(None, 20), Limits(max_share={"e0": 0.4}), Limits(9, 25)])
def test_each_limit_costs_score_somewhere(limits: Limits) -> None:
    paid = 0.0
    for seed in range(20):
        program = random_program(seed, limits)
        try:
            paid += score(program, program.solve(Limits())) - score(program, program.solve(limits))
        except BudgetError:
            continue
    assert paid > 0


def test_a_limit_that_no_map_meets_is_named_with_what_it_would_take() -> None:
    program = Program(np.zeros((2, 2)), np.full(2, 0.5), costs((2, 40), (9, 9)))
    with pytest.raises(BudgetError, match=r"^max_active_params_b=1 cannot be met: .*'e0', has 2 billion$"):
        program.solve(Limits(1))
    with pytest.raises(BudgetError, match=r"^max_total_params_b=5 cannot be met: .*'e1', has 9 billion$"):
        program.solve(Limits(None, 5))
    with pytest.raises(BudgetError, match=r"max_active_params_b=1 .*; max_total_params_b=5 "):
        program.solve(Limits(1, 5))


def test_limits_that_only_clash_are_all_named() -> None:
    program = Program(np.zeros((2, 2)), np.full(2, 0.5), costs((2, 40), (9, 9)))
    with pytest.raises(BudgetError, match=r"max_active_params_b=5 and max_total_params_b=20 can be met one by one"):
        program.solve(Limits(5, 20))


def test_shares_that_leave_a_category_without_an_expert_are_named() -> None:
    limits = Limits(max_share={"e0": 0.4, "e1": 0.4})
    program = Program(np.zeros((2, 2)), np.array([0.7, 0.3]), costs((1, 1), (1, 1), limits=limits))
    with pytest.raises(BudgetError, match=r"max_share e0=0.4, e1=0.4 cannot be met: the shares leave categories"):
        program.solve(limits)


@pytest.mark.parametrize("order", [[(70.0, 70.0), (1.0, 1.0)], [(1.0, 1.0), (70.0, 70.0)]])
def test_of_equal_experts_the_smaller_is_taken(order: list[tuple[float, float]]) -> None:
    program = Program(np.full((3, 2), 0.5), np.full(3, 1 / 3), costs(*order))
    assert {order[i] for i in program.solve(Limits())} == {(1.0, 1.0)}


def test_a_budget_is_kept_for_new_prompts_too_where_that_can_be() -> None:
    # Average 5.5 with the large expert on half of the traffic: within 5.5 on these rows, over it on every second draw.
    program = Program(
        np.array([[0.5, 0.9], [0.5, 0.8], [0.5, 0.6]]), np.array([0.25, 0.25, 0.5]), costs((1, 1), (10, 10))
    )
    limits = Limits(5.5)
    assert program.solve(limits).tolist() == [1, 1, 0]
    careful = solve_with_margin(program, limits, rows=100)
    assert careful.tolist() == [1, 0, 0]
    rng = np.random.default_rng(0)
    spent = program.costs.active[careful][rng.choice(3, (2_000, 100), p=program.traffic)].mean(axis=1)
    assert (spent > 5.5).mean() < 0.05


def test_with_many_rows_a_budget_is_used_up() -> None:
    program = Program(np.array([[0.5, 0.9], [0.5, 0.6]]), np.array([0.5, 0.5]), costs((1, 1), (10, 10)))
    assert solve_with_margin(program, Limits(5.6), rows=1e8).tolist() == [1, 0]


def test_where_no_map_leaves_a_margin_the_budget_on_these_rows_is_enough() -> None:
    limits = Limits(5.5, max_share={"e0": 0.5})
    program = Program(np.zeros((2, 2)), np.array([0.5, 0.5]), costs((1, 1), (10, 10), limits=limits))
    assert sorted(solve_with_margin(program, limits, rows=10).tolist()) == [0, 1]


def test_shares_sum_to_one_and_no_category_has_none() -> None:
    found = shares(np.array([0.0, 30.0, 10.0]))
    assert found.sum() == pytest.approx(1)
    assert found == pytest.approx([0, 0.75, 0.25], abs=1e-5)
    assert (found > 0).all()
    assert shares(np.zeros(4)) == pytest.approx([0.25] * 4)


@pytest.mark.parametrize("seed", range(8))
def test_a_category_without_traffic_still_gets_its_best_expert(seed: int) -> None:
    scores = np.random.default_rng(seed).random((8, 6))
    scores[-1] = [0.5, 0.51, 0.5, 0.52, 0.5, 0.5]
    program = Program(scores, shares(np.array([*range(100, 800, 100), 0.0])), costs(*[(5.0, 5.0)] * 6))
    assert program.solve(Limits(25))[-1] == 3
