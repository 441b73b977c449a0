"""A mixed-integer linear program, built column by column and row by row, and solved by HiGHS."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Terms: TypeAlias = Mapping[int, float]
Values: TypeAlias = NDArray[np.float64]
TOLERANCE = 1e-6  # of what a row may exceed its bound, relative and absolute
# The solver stops at an absolute gap of 1e-6: with this the largest coefficient of an aim is far above it.
_AIM_SCALE = 1e4


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """The best values that were found, None where there are none; `bound`: the aim cannot be below it.

    `feasible` is False where it is proven that no values exist.
    """

    values: Values | None
    bound: float
    feasible: bool = True


@dataclass(slots=True)
class LinearProgram:
    """Variables are columns, numbered from 0, each at least 0. Rows bound sums of `coefficient * variable`."""

    lower: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    _whole: list[bool] = field(default_factory=list)
    _rows: list[tuple[Terms, float, float]] = field(default_factory=list)

    def column(self, upper: float = 1.0, *, whole: bool = False) -> int:
        """A new variable between 0 and `upper`, in whole steps where asked."""
        self.lower.append(0.0)
        self.upper.append(upper)
        self._whole.append(whole)
        return len(self.lower) - 1

    def row(self, terms: Terms, *, lower: float = -np.inf, upper: float = np.inf) -> None:
        """Bound a sum; a sum of nothing is left out."""
        if terms:
            self._rows.append((terms, lower, upper))

    def fix(self, values: Values) -> None:
        """Keep the whole variables at what they are in `values`."""
        for column, whole in enumerate(self._whole):
            if whole:
                self.lower[column] = self.upper[column] = float(values[column])

    def minimise(self, aim: Terms, time_limit_s: float) -> Solution:
        """The values for which the sum `aim` is least. The same program gives the same values, within the time."""
        from scipy.optimize import Bounds, LinearConstraint, milp  # noqa: PLC0415 - planning only
        from scipy.sparse import csr_array  # noqa: PLC0415 - planning only

        scale = _AIM_SCALE / max(aim.values())
        costs = np.zeros(len(self.lower))
        costs[list(aim)] = [scale * value for value in aim.values()]
        entries = [
            (row, column, value) for row, (terms, *_) in enumerate(self._rows) for column, value in terms.items()
        ]
        rows, columns, values = zip(*entries, strict=True)
        matrix = csr_array((values, (rows, columns)), shape=(len(self._rows), len(self.lower)))
        found = milp(
            costs,
            integrality=np.asarray(self._whole, dtype=np.int64),
            bounds=Bounds(np.asarray(self.lower), np.asarray(self.upper)),
            constraints=LinearConstraint(matrix, [low for _, low, _ in self._rows], [up for *_, up in self._rows]),
            options={"mip_rel_gap": 0.0, "time_limit": max(time_limit_s, 0.01)},
        )
        proven = getattr(found, "mip_dual_bound", None)  # None where the variables are not whole or nothing was proven
        if found.x is None:
            return Solution(None, max(0.0, (proven or 0.0) / scale), feasible=found.status != 2)
        settled = np.where(self._whole, np.rint(found.x), np.clip(found.x, 0.0, None))
        bound = found.fun if proven is None else proven
        return Solution(settled, max(0.0, bound / scale))


def total(terms: Terms, values: Values) -> float:
    """The sum that `terms` stands for."""
    return float(sum(value * values[column] for column, value in terms.items()))
