"""Right and wrong answers of prompts in several domains come in, means with 95 % intervals go out, in points.

A domain's interval is Wilson's; that of a macro average or a difference is a bootstrap over the prompts of each domain.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

RESAMPLES = 10_000

Scores = npt.NDArray[np.float64]
"""1 or 0 per prompt, or differences of such."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean in points (0 to 100) and the bounds of its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} [{self.low:.1f}, {self.high:.1f}]"


class DomainSample:
    """Bootstrap over prompts within each domain, with the same resamples for every policy: differences are paired."""

    def __init__(self, domains: Sequence[str], seed: int) -> None:
        random = np.random.default_rng(seed)
        self.places = {name: np.flatnonzero(np.asarray(domains) == name) for name in dict.fromkeys(domains)}
        self._drawn = {name: random.choice(places, (RESAMPLES, len(places))) for name, places in self.places.items()}

    def by_domain(self, right: Scores) -> dict[str, Interval]:
        return {name: wilson(right[places]) for name, places in self.places.items()}

    def macro(self, right: Scores) -> Interval:
        """The mean over domains of the mean over prompts."""
        means = [right[places].mean() for places in self.places.values()]
        resampled = [right[drawn].mean(axis=1) for drawn in self._drawn.values()]
        return _interval(float(np.mean(means)), np.mean(resampled, axis=0))


def wilson(right: Scores) -> Interval:
    """Wilson's score interval of a share, which has a width also where all or none are right."""
    bounds = binomtest(int(right.sum()), len(right)).proportion_ci(0.95, method="wilson")
    return Interval(100 * float(right.mean()), 100 * float(bounds.low), 100 * float(bounds.high))


def _interval(mean: float, resampled: Scores) -> Interval:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(100 * mean, 100 * float(low), 100 * float(high))
