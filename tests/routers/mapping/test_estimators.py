"""Every estimator finds what was planted, copes with holes, and comes back from its arrays."""

import numpy as np
import pytest
from numpy.typing import NDArray

from routers.errors import MapError
from routers.mapping.chooser import Chooser
from routers.mapping.estimators import KINDS, EstimatorKind, Inputs, fit_estimator, restore
from routers.mapping.outcomes import Outcomes

DIM, CATEGORIES = 8, 3


def prompts(rows: int, seed: int) -> Inputs:
    """Unit vectors around a centre for each category, and posteriors that are nearly sure of it."""
    rng = np.random.default_rng(seed)
    category = rng.integers(0, CATEGORIES, rows)
    vectors = (3 * np.eye(DIM)[category] + rng.normal(size=(rows, DIM))).astype(np.float32)
    posterior = 0.9 * np.eye(CATEGORIES)[category] + 0.1 / CATEGORIES
    return Inputs(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), posterior)


def chances(inputs: Inputs) -> NDArray[np.float64]:
    """(n, 2): `a` is right on the last category, `b` on the others."""
    last = inputs.posterior.argmax(axis=1) == CATEGORIES - 1
    return np.column_stack([np.where(last, 0.9, 0.3), np.where(last, 0.2, 0.7)])


def outcomes(inputs: Inputs, seed: int, holes: float = 0.0) -> Outcomes:
    rng = np.random.default_rng(seed)
    right = (rng.random((len(inputs), 2)) < chances(inputs)).astype(np.float64)
    right[rng.random(right.shape) < holes] = np.nan
    return Outcomes(("a", "b"), right)


@pytest.mark.parametrize("holes", [0.0, 0.4])
@pytest.mark.parametrize("kind", KINDS)
def test_who_is_better_where_is_found(kind: EstimatorKind, holes: float) -> None:
    seen, new = prompts(1_200, 0), prompts(300, 1)
    estimator = fit_estimator(kind, seen, outcomes(seen, 2, holes), 0)
    found = estimator.estimate(new)
    assert found.shape == (300, 2)
    assert np.isfinite(found).all()
    assert (found.argmax(axis=1) == chances(new).argmax(axis=1)).mean() > 0.9


@pytest.mark.parametrize("kind", ["soft", "direct"])
def test_linear_estimates_are_scores_to_expect(kind: EstimatorKind) -> None:
    seen, new = prompts(3_000, 0), prompts(300, 1)
    assert np.abs(fit_estimator(kind, seen, outcomes(seen, 2), 0).estimate(new) - chances(new)).mean() < 0.05


def test_what_only_the_vectors_tell_is_found_by_those_that_read_them() -> None:
    inputs = prompts(2_000, 0)
    up = inputs.vectors[:, -1] > 0
    scores = Outcomes(("a", "b"), np.column_stack([up, ~up]).astype(np.float64))
    new = prompts(500, 1)
    best = np.where(new.vectors[:, -1] > 0, 0, 1)

    def right(kind: EstimatorKind) -> float:
        return float((fit_estimator(kind, inputs, scores, 0).estimate(new).argmax(axis=1) == best).mean())

    assert right("direct") > 0.9
    assert right("neighbours") > 0.75
    assert right("soft") < 0.6


@pytest.mark.parametrize("kind", KINDS)
def test_an_expert_with_few_outcomes_keeps_its_mean(kind: EstimatorKind) -> None:
    inputs = prompts(400, 0)
    scores = outcomes(inputs, 2).scores
    scores[5:, 1] = np.nan
    scores[:5, 1] = [1, 1, 1, 0, 0]
    found = fit_estimator(kind, inputs, Outcomes(("a", "b"), scores), 0).estimate(prompts(50, 1))[:, 1]
    assert found == pytest.approx(np.full(50, 0.6), abs=0.1)


@pytest.mark.parametrize("kind", KINDS)
def test_the_arrays_make_the_same_estimator(kind: EstimatorKind) -> None:
    seen, new = prompts(300, 0), prompts(40, 1)
    estimator = fit_estimator(kind, seen, outcomes(seen, 2), 0)
    again = restore(kind, estimator.arrays)
    assert again.kind == kind
    assert np.array_equal(again.estimate(new), estimator.estimate(new))
    assert all(array.dtype == np.float32 for array in estimator.arrays.values())


def test_arrays_of_another_kind_are_refused() -> None:
    seen = prompts(100, 0)
    with pytest.raises(KeyError):
        restore("soft", fit_estimator("neighbours", seen, outcomes(seen, 2), 0).arrays)


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_estimates(kind: EstimatorKind) -> None:
    seen, new = prompts(300, 0), prompts(40, 1)
    first, second = (fit_estimator(kind, seen, outcomes(seen, 2), 7).estimate(new) for _ in range(2))
    assert np.array_equal(first, second)


def test_a_chooser_asks_who_is_worth_the_price() -> None:
    seen, new = prompts(1_000, 0), prompts(200, 1)
    estimator = fit_estimator("soft", seen, outcomes(seen, 2), 0)
    free = Chooser(estimator, ("a", "b"), np.zeros(2)).experts_for(new)
    dear = Chooser(estimator, ("a", "b"), np.array([1.0, 0.0])).experts_for(new)
    assert set(free) == {"a", "b"}
    assert set(dear) == {"b"}
    with pytest.raises(MapError, match="2 experts have prices of shape"):
        Chooser(estimator, ("a", "b"), np.zeros(3))
