"""Strengths: in come paired scores, out come how able each expert is in each category, and which err together.

The difficulty of prompts does not count. In Rasch's model (1960) an expert is right with log odds of its strength less
the prompt's difficulty, and the log odds that of two experts the one is right where the other is not are the
difference of their strengths, whatever the prompts. So strengths are fitted to these differences, pair by pair
(Choppin 1968). Experts that stay silent on hard prompts are then not taken for better than those that try.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.abstention import GENERAL
from routers.mapping.paired import PRIOR_ROWS, PairedScores

# Log odds of 0.98: a few rows that an expert got all right or all wrong are no certainty.
_MOST = 3.9


@dataclass(frozen=True, slots=True, eq=False)
class Strengths:
    """`log_odds` (categories and `general`, experts): that an expert is right on a prompt of the category.

    `correlation` (experts, experts), in [0, 1]: of the scores of two on the same prompts, of whatever category; 0 where
    none are known.
    """

    categories: tuple[str, ...]
    experts: tuple[str, ...]
    log_odds: NDArray[np.float64]
    correlation: NDArray[np.float64]

    @classmethod
    def of(cls, paired: PairedScores, categories: Sequence[str]) -> "Strengths":
        """`paired` has a row for each of `categories` and a last one for `general`."""
        return cls(tuple(categories), paired.experts, _log_odds(paired), _correlation(paired))

    def in_category(self, category: str) -> dict[str, float]:
        """By expert. Those of `general` where the category is not known."""
        place = self.categories.index(category) if category in self.categories else len(self.categories)
        return self._by_expert(self.log_odds[place])

    def expected(self, probabilities: Mapping[str, float]) -> dict[str, float]:
        """By expert, weighted by how likely a prompt is of each category; those of `general` where nothing is known."""
        shares = np.array([probabilities.get(category, 0.0) for category in self.categories])
        if not shares.sum():
            return self.in_category(GENERAL)
        return self._by_expert(shares @ self.log_odds[:-1] / shares.sum())

    def alike(self, expert: str, other: str) -> float:
        """The correlation of two experts."""
        return float(self.correlation[self.experts.index(expert), self.experts.index(other)])

    def _by_expert(self, values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(self.experts, values.tolist(), strict=True))


def _log_odds(paired: PairedScores) -> NDArray[np.float64]:
    shrunk = paired.shrunk()
    alone = _logit(shrunk)
    if len(paired.experts) < 2:
        return alone
    better = paired.sums - paired.products  # where i is right and j is not
    compared = paired.counts.sum(axis=0)
    prior = PRIOR_ROWS * better.sum(axis=0) / np.maximum(compared, 1)
    # Half a row for either side, so that no ratio is infinite (Haldane 1956).
    drawn = better + prior + 0.5
    ratios = np.log(drawn) - np.log(np.swapaxes(drawn, 1, 2))
    known = (compared > 0) & ~np.eye(len(paired.experts), dtype=bool)
    fitted = _least_squares(ratios, known)
    level = _logit(shrunk.mean(axis=1, keepdims=True))
    found: NDArray[np.float64] = np.where(known.any(axis=1), fitted + level, alone)
    return np.clip(found, -_MOST, _MOST)


def _correlation(paired: PairedScores) -> NDArray[np.float64]:
    counts, sums, squares, products = (
        array.sum(axis=0) for array in (paired.counts, paired.sums, paired.squares, paired.products)
    )
    rows = np.maximum(counts, 1)
    mean, other = sums / rows, sums.T / rows
    spread = np.maximum((squares / rows - mean**2) * (squares.T / rows - other**2), 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.where(spread > 0, (products / rows - mean * other) / np.sqrt(spread), 0.0)
    return np.clip(found, 0.0, 1.0)


def _least_squares(ratios: NDArray[np.float64], known: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(categories, experts) with a mean of 0, whose differences fit `ratios` best over the pairs that are `known`."""
    laplacian = np.diag(known.sum(axis=1)) - known.astype(np.float64)
    fitted: NDArray[np.float64] = (ratios * known).sum(axis=2) @ np.linalg.pinv(laplacian)
    return fitted


def _logit(share: NDArray[np.float64]) -> NDArray[np.float64]:
    bound = 1 / (1 + np.exp(_MOST))
    inside = np.clip(share, bound, 1 - bound)
    logit: NDArray[np.float64] = np.log(inside / (1 - inside))
    return logit
