"""The expert map: in come paired scores and limits, out comes category -> expert.

An expert is preferred to the default, the best that fits the limits alone, only where a test says that it is better
in the category (at the level `evidence`); the program then finds the best map within the limits.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from routers.errors import BudgetError, MapError
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Costs, Limits
from routers.mapping.paired import PairedScores
from routers.mapping.program import Program, shares, solve_with_margin

# Without evidence an expert is taken to be this much worse than the default: more than the price of size makes up for.
_A_TIE = 1e-4
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True)
class ExpertMap:
    """`default` answers `general` and every category that `by_category` does not name.

    `pool` holds the experts that the map was chosen from, with what they cost (None: not known). `evidence`: the level
    of the test by which an expert was preferred to the default.
    """

    default: str
    by_category: Mapping[str, str]
    pool: Mapping[str, ExpertSize | None]
    limits: Limits = field(default_factory=Limits)
    evidence: float = 1.0

    def __post_init__(self) -> None:
        unknown = sorted({self.default, *self.by_category.values()} - set(self.pool))
        if unknown:
            raise MapError(f"The expert map names experts that are not in its pool: {', '.join(map(repr, unknown))}")

    def expert_for(self, category: str) -> str:
        return self.by_category.get(category, self.default)

    def fits_alone(self, expert: str) -> bool:
        """Whether `expert` could answer everything within the limits."""
        return self.limits.fits_alone(expert, self.pool[expert])


def learn_map(
    paired: PairedScores,
    categories: Sequence[str],
    sizes: Mapping[str, ExpertSize] | None,
    limits: Limits,
    *,
    evidence: float = 1.0,
) -> ExpertMap:
    """The map with the best expected score within `limits`.

    `paired` has a row for each of `categories` and a last one for `general`. `evidence` in (0, 1]: the level of the
    one-sided test; 1 tests nothing. Raises BudgetError naming the limits that no map meets, or MapError.
    """
    costs = Costs.of(paired.experts, sizes, limits)
    chosen = choose(paired, costs, limits, evidence, best_alone(paired, sizes, limits))
    names = [paired.experts[i] for i in chosen]
    return ExpertMap(
        default=names[-1],
        by_category=dict(zip(categories, names[:-1], strict=True)),
        pool={name: sizes[name] if sizes is not None else None for name in paired.experts},
        limits=limits,
        evidence=evidence,
    )


def check_limits(experts: Sequence[str], sizes: Mapping[str, ExpertSize] | None, limits: Limits) -> None:
    """Refuse, before anything is learned, what no map meets whatever the traffic.

    Raises BudgetError: none of `experts` fits the parameter budgets, and so no map does, or their shares do not make
    up a whole; or MapError.
    """
    costs = Costs.of(experts, sizes, limits)
    if costs.share.sum() < 1 - _ROUNDING:
        raise BudgetError(
            f"The experts may get {costs.share.sum():.0%} of the traffic in all: allow one of them a larger share"
        )
    Program(np.zeros((1, len(experts))), np.ones(1), costs).solve(replace(limits, max_share={}))


def choose(
    paired: PairedScores, costs: Costs, limits: Limits, evidence: float, default: int | None
) -> NDArray[np.int64]:
    """(categories,): the place of each category's expert. `default`: of the expert that others must be better than."""
    scores = paired.shrunk()
    if default is not None:
        unproven = (paired.p_values(default) > evidence) & (scores > scores[:, [default]] - _A_TIE)
        unproven[:, default] = False
        scores = np.where(unproven, scores[:, [default]] - _A_TIE, scores)
    program = Program(scores, shares(paired.traffic), costs)
    return solve_with_margin(program, limits, float(paired.traffic.sum()))


def best_alone(paired: PairedScores, sizes: Mapping[str, ExpertSize] | None, limits: Limits) -> int | None:
    """The place of the best expert of those that fit the limits alone, the smallest of equals; None: none fits."""
    overall = paired.overall()
    known = [None if sizes is None else sizes[name] for name in paired.experts]
    fitting = [i for i, name in enumerate(paired.experts) if limits.fits_alone(name, known[i])]

    def worth(place: int) -> tuple[float, float]:
        size = known[place]
        return overall[place], 0.0 if size is None else -size.active_params_b

    return max(fitting, key=worth) if fitting else None
