"""Abstention: in comes how typical a prompt is of the training prompts, out comes whether to decide at all.

The score is a conformal p-value (Bates et al., arXiv 2104.08279): the share of in-scope prompts, held out when the
prototypes were made, that are less typical. Rejecting below `reject_rate` then rejects that share of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

GENERAL = "general"
GRID = 1_001


@dataclass(frozen=True, slots=True, eq=False)
class Abstention:
    """`quantiles` (1001,): typicality of held-out in-scope prompts, ascending; `reject_rate` in [0, 1)."""

    quantiles: NDArray[np.float64]
    reject_rate: float

    def scores(self, typicality: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) in [0, 1]: how sure it is that a prompt of this `typicality` (n,) is in scope."""
        return np.interp(typicality, self.quantiles, np.linspace(0, 1, len(self.quantiles)))

    def rejects(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,): which prompts go to the category `general`."""
        rejected: NDArray[np.bool_] = scores < self.reject_rate
        return rejected


def fit_abstention(typicality: NDArray[np.float64], reject_rate: float) -> Abstention:
    """Calibrate on `typicality` (n,) of in-scope prompts that the prototypes were not made of."""
    quantiles = np.quantile(typicality, np.linspace(0, 1, GRID)).astype(np.float64)
    return Abstention(quantiles, reject_rate)
