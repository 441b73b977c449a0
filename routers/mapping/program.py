"""The mixed-integer program of Composition of Experts (arXiv 2412.01868), reference formulation.

maximise  sum_c w_c sum_e s[c,e] x[c,e]       (w: share of traffic, s: score)
such that each category has one expert, an expert used is an expert kept,
          sum of total parameters of the experts kept <= max_total_params_b,
          traffic's average of active parameters     <= max_active_params_b,
          an expert's share of the traffic           <= its limit.
"""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from routers.errors import BudgetError, MapError
from routers.mapping.limits import Costs, Limits

if TYPE_CHECKING:
    from scipy.optimize import LinearConstraint

# Of two maps with one score the smaller wins: points of score that a billion active parameters must earn.
PRICE_OF_A_BILLION = 1e-7
# A category counts for a little even where no prompt of it was seen.
LEAST_TRAFFIC = 1e-6
# The solver takes objectives nearer than about 1e-6 for equal: a category without traffic weighs less than that, and
# would get any expert.
_OBJECTIVE_SCALE = 1e7
TIME_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True, eq=False)
class Program:
    """`scores` (categories, experts), `traffic` (categories,) shares that sum to 1."""

    scores: NDArray[np.float64]
    traffic: NDArray[np.float64]
    costs: Costs

    def solve(self, limits: Limits) -> NDArray[np.int64]:
        """(categories,): the expert of each. Raises BudgetError naming the limits that no map meets."""
        chosen = self._attempt(limits)
        if chosen is None:
            raise BudgetError(self._why(limits))
        return chosen

    def _attempt(self, limits: Limits) -> NDArray[np.int64] | None:
        from scipy.optimize import Bounds, milp  # noqa: PLC0415 - training only

        categories, experts = self.scores.shape
        weights = _OBJECTIVE_SCALE * self.traffic[:, None]
        gain = weights * (self.scores - PRICE_OF_A_BILLION * self.costs.active)
        found = milp(
            np.append(-gain.ravel(), np.zeros(experts)),
            integrality=np.ones(categories * experts + experts),
            bounds=Bounds(0, 1),
            constraints=self._constraints(limits),
            options={"mip_rel_gap": 0.0, "time_limit": TIME_LIMIT_S},
        )
        if found.status == 2:
            return None
        if found.x is None:
            raise MapError(f"The expert map was not found: {found.message}")
        chosen: NDArray[np.int64] = found.x[: categories * experts].reshape(categories, experts).argmax(axis=1)
        return chosen

    def _constraints(self, limits: Limits) -> "list[LinearConstraint]":
        from scipy.optimize import LinearConstraint  # noqa: PLC0415 - training only

        categories, experts = self.scores.shape
        unused = np.zeros(experts)
        one_each = np.hstack([np.kron(np.eye(categories), np.ones(experts)), np.zeros((categories, experts))])
        used_is_kept = np.hstack([np.eye(categories * experts), -np.tile(np.eye(experts), (categories, 1))])
        constraints = [LinearConstraint(one_each, 1, 1), LinearConstraint(used_is_kept, -np.inf, 0)]
        if limits.max_active_params_b is not None:
            spent = np.append((self.traffic[:, None] * self.costs.active).ravel(), unused)
            constraints.append(LinearConstraint(spent[None], -np.inf, limits.max_active_params_b))
        if limits.max_total_params_b is not None:
            kept = np.append(np.zeros(categories * experts), self.costs.total)
            constraints.append(LinearConstraint(kept[None], -np.inf, limits.max_total_params_b))
        if limits.max_share:
            shares = np.hstack([np.kron(self.traffic, np.eye(experts)), np.zeros((experts, experts))])
            constraints.append(LinearConstraint(shares, -np.inf, self.costs.share))
        return constraints

    def _why(self, limits: Limits) -> str:
        """Which limits cannot be met on their own, or that they cannot be met together."""
        alone = {
            f"max_active_params_b={limits.max_active_params_b}": Limits(limits.max_active_params_b),
            f"max_total_params_b={limits.max_total_params_b}": Limits(None, limits.max_total_params_b),
            f"max_share {_listed(limits)}": Limits(max_share=limits.max_share),
        }
        unmet = [name for name, limit in alone.items() if limit != Limits() and self._attempt(limit) is None]
        if not unmet:
            return f"{_named(limits)} can be met one by one, but no expert map meets them together: raise one of them"
        return "; ".join(f"{name} cannot be met: {self._remedy(name)}" for name in unmet)

    def _remedy(self, limit: str) -> str:
        costs = self.costs
        if limit.startswith("max_share"):
            return "the shares leave categories without an expert; each is whole: allow an expert more of the traffic"
        of = costs.active if limit.startswith("max_active") else costs.total
        kind = "active parameters" if limit.startswith("max_active") else "parameters"
        least = int(of.argmin())
        return f"the expert with the fewest {kind}, {costs.experts[least]!r}, has {of[least]:g} billion"


def solve_with_margin(program: Program, limits: Limits, rows: float) -> NDArray[np.int64]:
    """As `Program.solve`, but so that `rows` new prompts of the same kind keep to the average budget as well.

    Where no map leaves that margin, the one that meets the budget on these rows is given.
    """
    chosen = program.solve(limits)
    budget = limits.max_active_params_b
    if budget is None:
        return chosen
    spent = program.costs.active[chosen]
    margin = program.costs.margin(spent, program.traffic, rows)
    if float(program.traffic @ spent) + margin <= budget:
        return chosen
    narrower = program._attempt(replace(limits, max_active_params_b=budget - margin))  # noqa: SLF001 - one module
    return chosen if narrower is None else narrower


def shares(traffic: NDArray[np.float64]) -> NDArray[np.float64]:
    """Traffic in any unit as shares that sum to 1, none of them 0."""
    positive = traffic / max(float(traffic.sum()), LEAST_TRAFFIC) + LEAST_TRAFFIC
    whole: NDArray[np.float64] = positive / positive.sum()
    return whole


def _named(limits: Limits) -> str:
    named = []
    if limits.max_active_params_b is not None:
        named.append(f"max_active_params_b={limits.max_active_params_b}")
    if limits.max_total_params_b is not None:
        named.append(f"max_total_params_b={limits.max_total_params_b}")
    if limits.max_share:
        named.append(f"max_share {_listed(limits)}")
    return " and ".join(named)


def _listed(limits: Limits) -> str:
    return ", ".join(f"{name}={share:g}" for name, share in limits.max_share.items())
