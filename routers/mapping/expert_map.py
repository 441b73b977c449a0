"""The expert map: in come outcomes by category and what experts cost, out comes category -> expert under budgets.

The mixed-integer program of Composition of Experts (arXiv 2412.01868), reference formulation:
maximise  sum_c w_c sum_e s[c,e] x[c,e]   (w: share of traffic, s: score)
such that each category has one expert, an expert used is an expert kept,
          sum of total parameters of kept experts <= max_total_params_b,
          traffic's average of active parameters <= max_active_params_b.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.errors import BudgetError, MapError
from routers.mapping.experts import ExpertSize
from routers.mapping.outcomes import OutcomeTable

# Of two maps with one score the smaller wins: points of score that a billion active parameters must earn.
PRICE_OF_A_BILLION = 1e-7


@dataclass(frozen=True, slots=True)
class ExpertMap:
    """`default` answers `general` and every category that `by_category` does not name.

    `pool` holds the experts that the map was chosen from, with what they cost (None: not known).
    """

    default: str
    by_category: Mapping[str, str]
    pool: Mapping[str, ExpertSize | None]
    max_active_params_b: float | None = None
    max_total_params_b: float | None = None

    def __post_init__(self) -> None:
        unknown = sorted({self.default, *self.by_category.values()} - set(self.pool))
        if unknown:
            raise MapError(f"The expert map names experts that are not in its pool: {', '.join(map(repr, unknown))}")

    def expert_for(self, category: str) -> str:
        return self.by_category.get(category, self.default)

    def fits_alone(self, expert: str) -> bool:
        """Whether `expert` could answer everything within the budgets."""
        size = self.pool[expert]
        return size is None or _fits(size, self.max_active_params_b, self.max_total_params_b)


def learn_map(
    table: OutcomeTable,
    sizes: Mapping[str, ExpertSize] | None,
    *,
    max_active_params_b: float | None = None,
    max_total_params_b: float | None = None,
) -> ExpertMap:
    """The map with the best expected score within the budgets (billions of parameters).

    `max_active_params_b` bounds the average over traffic, `max_total_params_b` the sum over the experts kept.
    Without `sizes` there can be no budget. Raises BudgetError naming the budget that no map fits.
    """
    if not table.experts:
        raise MapError("No expert has outcomes: give data with `outcomes` of the experts named in the experts file")
    budgets = (max_active_params_b, max_total_params_b)
    if sizes is None:
        if budgets != (None, None):
            raise MapError("A parameter budget needs the experts' sizes: give an experts file")
        best = _solve(table, np.zeros(len(table.experts)), np.zeros(len(table.experts)), None, None)
    else:
        _check_budgets({name: sizes[name] for name in table.experts}, *budgets)
        active = np.array([sizes[name].active_params_b for name in table.experts])
        total = np.array([sizes[name].total_params_b for name in table.experts])
        best = _solve(table, active, total, *budgets)
    names = [table.experts[i] for i in best]
    return ExpertMap(
        default=names[-1],
        by_category=dict(zip(table.categories, names[:-1], strict=True)),
        pool={name: sizes[name] if sizes is not None else None for name in table.experts},
        max_active_params_b=max_active_params_b,
        max_total_params_b=max_total_params_b,
    )


def _fits(size: ExpertSize, max_active: float | None, max_total: float | None) -> bool:
    return (max_active is None or size.active_params_b <= max_active) and (
        max_total is None or size.total_params_b <= max_total
    )


def _check_budgets(sizes: Mapping[str, ExpertSize], max_active: float | None, max_total: float | None) -> None:
    # A map fits exactly if one expert alone does: the one with the fewest active parameters in the map.
    if any(_fits(size, max_active, max_total) for size in sizes.values()):
        return
    if not any(_fits(size, max_active, None) for size in sizes.values()):
        name, size = min(sizes.items(), key=lambda item: item[1].active_params_b)
        raise BudgetError(
            f"max_active_params_b={max_active} is too small: the expert with the fewest active parameters, "
            f"{name!r}, has {size.active_params_b}"
        )
    if not any(_fits(size, None, max_total) for size in sizes.values()):
        name, size = min(sizes.items(), key=lambda item: item[1].total_params_b)
        raise BudgetError(
            f"max_total_params_b={max_total} is too small: the smallest expert, {name!r}, has {size.total_params_b}"
        )
    raise BudgetError(
        f"max_active_params_b={max_active} and max_total_params_b={max_total} can be met one by one, but no expert "
        "meets both: raise either"
    )


def _solve(
    table: OutcomeTable,
    active: NDArray[np.float64],
    total: NDArray[np.float64],
    max_active: float | None,
    max_total: float | None,
) -> NDArray[np.int64]:
    """(categories + 1,) index of the expert of each category, and of the default."""
    from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - training only

    scores = np.vstack([table.shrunk(), table.overall()])
    # The default expert counts for a little even where nothing is expected to reach it.
    traffic = np.append(table.traffic, max(table.default_traffic, 1e-6))
    traffic = traffic / traffic.sum()
    rows, experts = scores.shape
    gain = traffic[:, None] * (scores - PRICE_OF_A_BILLION * active)
    one_each = np.hstack([np.kron(np.eye(rows), np.ones(experts)), np.zeros((rows, experts))])
    used_is_kept = np.hstack([np.eye(rows * experts), -np.tile(np.eye(experts), (rows, 1))])
    constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(used_is_kept, -np.inf, 0)]
    if max_active is not None:
        spent = np.append((traffic[:, None] * active).ravel(), np.zeros(experts))
        constraints.append(LinearConstraint(spent[None], -np.inf, max_active))
    if max_total is not None:
        constraints.append(LinearConstraint(np.append(np.zeros(rows * experts), total)[None], -np.inf, max_total))
    found = milp(
        np.append(-gain.ravel(), np.zeros(experts)),
        integrality=np.ones(rows * experts + experts),
        bounds=Bounds(0, 1),
        constraints=constraints,
        options={"mip_rel_gap": 0.0, "time_limit": 60.0},
    )
    if found.x is None:
        raise MapError(f"The expert map was not found: {found.message}")
    chosen: NDArray[np.int64] = found.x[: rows * experts].reshape(rows, experts).argmax(axis=1)
    return chosen
