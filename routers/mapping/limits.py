"""Limits on what a composition may cost: which experts may be used, and how much of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routers.errors import MapError
from routers.mapping.experts import ExpertSize

# Used where sizes are not known: nothing can be limited then but shares.
UNKNOWN = ExpertSize(0.0, 0.0)
# One-sided 95 %: new traffic spends no more than the budget with this certainty, as far as the rows tell.
CERTAINTY = 1.645


@dataclass(frozen=True, slots=True)
class Limits:
    """Parameters in billions: `max_active_params_b` bounds the average over traffic, `max_total_params_b` the sum over
    the experts kept. `max_share`: the largest share of the traffic, in [0, 1], that an expert may get.
    """

    max_active_params_b: float | None = None
    max_total_params_b: float | None = None
    max_share: Mapping[str, float] = field(default_factory=dict)

    @property
    def counts_parameters(self) -> bool:
        return self.max_active_params_b is not None or self.max_total_params_b is not None

    def fits_alone(self, expert: str, size: ExpertSize | None) -> bool:
        """Whether `expert` could answer everything; a size that is not known is not limited."""
        if self.max_share.get(expert, 1.0) < 1:
            return False
        return size is None or (
            (self.max_active_params_b is None or size.active_params_b <= self.max_active_params_b)
            and (self.max_total_params_b is None or size.total_params_b <= self.max_total_params_b)
        )


@dataclass(frozen=True, slots=True, eq=False)
class Costs:
    """Of experts in one order, (experts,) each: `active` and `total` billions, and the `share` they may get at most."""

    experts: tuple[str, ...]
    active: NDArray[np.float64]
    total: NDArray[np.float64]
    share: NDArray[np.float64]

    @classmethod
    def of(cls, experts: Sequence[str], sizes: Mapping[str, ExpertSize] | None, limits: Limits) -> "Costs":
        """Raises MapError: a limit on parameters without sizes, or a share of an expert that is not there."""
        if sizes is None and limits.counts_parameters:
            raise MapError("A parameter budget needs the experts' sizes: give an experts file")
        if unknown := sorted(set(limits.max_share) - set(experts)):
            raise MapError(f"A share is limited of experts without outcomes: {', '.join(map(repr, unknown))}")
        known = [UNKNOWN if sizes is None else sizes[name] for name in experts]
        return cls(
            tuple(experts),
            np.array([size.active_params_b for size in known]),
            np.array([size.total_params_b for size in known]),
            np.array([limits.max_share.get(name, 1.0) for name in experts]),
        )

    def margin(self, spent: NDArray[np.float64], traffic: NDArray[np.float64], rows: float) -> float:
        """By how much the average of `spent` (n,) under shares `traffic` (n,) may be exceeded on `rows` new prompts."""
        mean = float(traffic @ spent)
        variance = float(traffic @ (spent - mean) ** 2)
        return CERTAINTY * float(np.sqrt(variance / max(rows, 1)))
