"""Prices, against the linear program that they solve."""

from itertools import product

import numpy as np
import pytest
from numpy.typing import NDArray

from routers.errors import BudgetError
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Costs, Limits
from routers.mapping.prices import prices

SIZES = {"small": ExpertSize(1, 1), "middle": ExpertSize(7, 7), "large": ExpertSize(30, 30)}
MANY = 1e9  # rows of new prompts: no margin


def costs(limits: Limits) -> Costs:
    return Costs.of(list(SIZES), SIZES, limits)


def expected_scores(seed: int, rows: int) -> NDArray[np.float64]:
    scores: NDArray[np.float64] = np.random.default_rng(seed).random((rows, 3)) * 0.5 + np.array([0, 0.15, 0.3])
    return scores


@pytest.mark.parametrize("limits", [Limits(), Limits(None, 30)])
def test_what_is_not_limited_has_no_price(limits: Limits) -> None:
    assert prices(expected_scores(0, 50), costs(limits), limits, 50).tolist() == [0, 0, 0]


def test_a_limit_that_does_not_bind_has_no_price() -> None:
    limits = Limits(31, max_share={"large": 1.0})
    assert prices(expected_scores(0, 50), costs(limits), limits, MANY) == pytest.approx([0, 0, 0], abs=1e-9)


@pytest.mark.parametrize("budget", [2.0, 5.0, 12.0, 20.0])
def test_new_prompts_keep_to_the_budget_on_average_and_use_it(budget: float) -> None:
    limits = Limits(budget)
    price = prices(expected_scores(0, 900), costs(limits), limits, 900)
    assert (np.diff(price) > 0).all()
    spent = costs(limits).active[(expected_scores(1, 20_000) - price).argmax(axis=1)].mean()
    assert 0.75 * budget <= spent <= 1.02 * budget


def test_the_choice_is_as_good_as_the_best_of_all_choices() -> None:
    limits = Limits(8.0)
    known = costs(limits)
    expected = expected_scores(3, 7)
    chosen = (expected - prices(expected, known, limits, MANY)).argmax(axis=1)
    every = np.array(list(product(range(3), repeat=7)))
    scores = expected[np.arange(7), every].mean(axis=1)
    spent = known.active[every].mean(axis=1)
    own = known.active[chosen].mean()
    # Of all that spend no more than it does, none scores better: what one prompt may cost more is all it can miss.
    assert own <= 8.0
    assert expected[np.arange(7), chosen].mean() == pytest.approx(scores[spent <= own + 1e-9].max())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.4])
def test_an_expert_gets_no_more_than_its_share(share: float) -> None:
    limits = Limits(max_share={"large": share})
    price = prices(expected_scores(0, 900), costs(limits), limits, MANY)
    assert price[:2] == pytest.approx([0, 0], abs=1e-9)
    chosen = (expected_scores(1, 20_000) - price).argmax(axis=1)
    assert (chosen == 2).mean() == pytest.approx(share, abs=0.03)


def test_budget_and_shares_are_kept_together() -> None:
    limits = Limits(6.0, max_share={"small": 0.3})
    chosen = (expected_scores(1, 20_000) - prices(expected_scores(0, 900), costs(limits), limits, 900)).argmax(axis=1)
    assert costs(limits).active[chosen].mean() <= 6.2
    assert (chosen == 0).mean() <= 0.33


def test_where_no_margin_can_be_left_the_budget_alone_is_kept() -> None:
    # Half of the prompts must go to the expert of 7 billion: 4 on average, and not a bit less.
    limits = Limits(4.0, max_share={"small": 0.5, "large": 0.0})
    expected = expected_scores(0, 200)
    chosen = (expected - prices(expected, costs(limits), limits, 20)).argmax(axis=1)
    assert 2 not in chosen
    assert np.bincount(chosen)[0] <= 100


@pytest.mark.parametrize("budget", [2.0, 5.0, 20.0])
def test_prompts_that_are_all_alike_keep_to_the_budget(budget: float) -> None:
    limits = Limits(budget)
    expected = np.repeat([[0.2, 0.5, 0.9], [0.3, 0.4, 0.5]], [60, 40], axis=0)
    chosen = (expected - prices(expected, costs(limits), limits, MANY)).argmax(axis=1)
    assert costs(limits).active[chosen].mean() <= budget


def test_limits_that_nothing_meets_are_told() -> None:
    limits = Limits(0.5)
    with pytest.raises(BudgetError, match="No choice of experts"):
        prices(expected_scores(0, 20), costs(limits), limits, 20)
