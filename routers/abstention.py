"""Abstention: in comes a score of how well a prompt belongs, out comes whether to decide at all.

The score is one of two signals, whichever tells held-out prompts in and out of scope apart better: `typicality`
(closeness to a prototype; needs no out-of-scope prompts) or `margin` (log-odds against the class of out-of-scope
prompts). It becomes a conformal p-value (Bates et al., arXiv 2104.08279): the share of in-scope prompts, held out of
the fit, that score lower. Rejecting below `reject_rate` then rejects that share of them.
"""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

GENERAL = "general"
GRID = 1_001
_SHARES = np.linspace(0, 1, GRID)
Signal: TypeAlias = Literal["typicality", "margin"]


@dataclass(frozen=True, slots=True, eq=False)
class Abstention:
    """`quantiles` (1001,): the signal of held-out in-scope prompts, ascending; `reject_rate` in [0, 1)."""

    quantiles: NDArray[np.float64]
    reject_rate: float
    signal: Signal = "typicality"

    def scores(self, signal: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n,) in [0, 1]: how sure it is that a prompt with this `signal` (n,) is in scope."""
        return np.interp(signal, self.quantiles, _SHARES)

    def rejects(self, scores: NDArray[np.float64]) -> NDArray[np.bool_]:
        """(n,): which prompts go to the category `general`."""
        rejected: NDArray[np.bool_] = scores < self.reject_rate
        return rejected


def fit_abstention(confidence: NDArray[np.float64], reject_rate: float, signal: Signal = "typicality") -> Abstention:
    """Calibrate on `confidence` (n,): the signal of in-scope prompts that were held out of the fit."""
    quantiles = np.quantile(confidence, np.linspace(0, 1, GRID)).astype(np.float64)
    return Abstention(quantiles, reject_rate, signal)
