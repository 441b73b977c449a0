"""How well a score tells in scope from out of scope: in come the scores of both, out come figures in [0, 1]."""

import numpy as np
from numpy.typing import NDArray


def auroc(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> float:
    """How often a score of `inside` (n,) is above one of `outside` (m,); a tie counts half."""
    ordered = np.sort(inside)
    below = np.searchsorted(ordered, outside, side="left")
    not_above = np.searchsorted(ordered, outside, side="right")
    return float(1 - (below + not_above).mean() / (2 * len(inside)))


def recall_at(inside: NDArray[np.float64], outside: NDArray[np.float64], reject_rate: float) -> float:
    """The share of `outside` (m,) below the score that `reject_rate` of `inside` (n,) is below."""
    return float((outside < np.quantile(inside, reject_rate)).mean())
