"""Gains: in come paired differences of scores, out come their mean, interval and p-value by a paired bootstrap."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 10_000
_CHUNK = 500


@dataclass(frozen=True, slots=True)
class Gain:
    """Routed minus best single: mean, its 95 % interval and two-sided p-value, by a paired bootstrap."""

    mean: float | None = None
    ci95: tuple[float, float] | None = None
    p_value: float | None = None


def bootstrap(differences: NDArray[np.float64], seed: int) -> Gain:
    """Mean of paired `differences` (n,) with its interval and p-value, from 10,000 resamples."""
    rng = np.random.default_rng(seed)
    values, counts = np.unique(differences, return_counts=True)
    # How often each value is drawn is all that matters, and is drawn at once.
    shares, size = counts / counts.sum(), len(differences)
    means = np.concatenate(
        [rng.multinomial(size, shares, size=_CHUNK) @ values / size for _ in range(RESAMPLES // _CHUNK)]
    )
    low, high = np.quantile(means, [0.025, 0.975])
    tail = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p_value = min(1.0, 2 * (tail + 1) / (RESAMPLES + 1))
    return Gain(float(differences.mean()), (float(low), float(high)), p_value)
