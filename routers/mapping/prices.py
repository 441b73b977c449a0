"""Prices: in come expected scores of prompts and limits, out comes what each expert must be worth to be asked.

Maximising the expected score of many prompts within an average budget and shares is a linear program; by its dual every
prompt may choose for itself, the expert with the largest score less its price (Lagrange multipliers). Prices are found
on prompts that the estimator was not fitted on, whose expected scores spread as those of new prompts do.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from routers.errors import BudgetError
from routers.mapping.limits import Costs, Limits

# Rows of the linear program; more change the prices by less than new prompts differ.
MOST_ROWS = 1_000
# At its exact price an expert is worth as much as another to some prompts, to many where estimates are alike: raised by
# this share, prices send them to the one that the limits allow.
_ABOVE_A_TIE = 1e-6


def prices(expected: NDArray[np.float64], costs: Costs, limits: Limits, rows: float) -> NDArray[np.float64]:
    """(experts,) prices, 0 or more, under which `expected` (n, experts) keeps the limits on average.

    `rows`: new prompts that shall keep them as well. Raises BudgetError where nothing meets the limits.
    """
    if limits.max_active_params_b is None and not limits.max_share:
        return np.zeros(len(costs.experts))
    found = _dual(expected, costs, limits)
    budget = limits.max_active_params_b
    if budget is None:
        return found
    spent = costs.active[(expected - found).argmax(axis=1)]
    margin = costs.margin(spent, np.full(len(spent), 1 / len(spent)), rows)
    if spent.mean() + margin <= budget:
        return found
    narrower = max(budget - margin, float(costs.active.min()))
    try:
        return _dual(expected, costs, replace(limits, max_active_params_b=narrower))
    except BudgetError:  # the shares leave no room for a margin
        return found


def _dual(expected: NDArray[np.float64], costs: Costs, limits: Limits) -> NDArray[np.float64]:
    from scipy.optimize import linprog  # noqa: PLC0415 - training only
    from scipy.sparse import csr_matrix, eye, kron, vstack  # noqa: PLC0415  # as the import above

    step = max(1, len(expected) // MOST_ROWS)
    sample = expected[::step]
    n, experts = sample.shape
    bounds, rows = [], []
    if limits.max_active_params_b is not None:
        rows.append(csr_matrix(np.tile(costs.active, n) / n))
        bounds.append(np.array([limits.max_active_params_b]))
    if limits.max_share:
        rows.append(csr_matrix(kron(np.ones((1, n)) / n, eye(experts))))
        bounds.append(costs.share)
    found = linprog(
        -sample.ravel() / n,
        A_ub=vstack(rows),  # type: ignore[call-overload]  # the stubs know no sparse matrices
        b_ub=np.concatenate(bounds),
        A_eq=csr_matrix(kron(eye(n), np.ones((1, experts)))),
        b_eq=np.ones(n),
        bounds=(0, None),
        method="highs",
    )
    if found.status != 0:
        raise BudgetError(f"No choice of experts meets the limits: {found.message}")
    multipliers = -(1 + _ABOVE_A_TIE) * np.asarray(found.ineqlin.marginals, dtype=np.float64)
    total = np.zeros(experts)
    if limits.max_active_params_b is not None:
        total += multipliers[0] * costs.active
    if limits.max_share:
        total += multipliers[-experts:]
    return total
