"""Paired scores: what outcomes say of experts by category, as sums that more outcomes are simply added to.

In come the category found for each row and its outcomes; out come means drawn towards the expert's overall score, and
tests of one expert against another. For every pair of experts the sums run over the rows that hold outcomes of both,
so that the two are compared on the same prompts; rows that hold one of them only count as two separate samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.mapping.outcomes import Outcomes

# A category's score counts for as much as the expert's overall one when it rests on this many rows.
PRIOR_ROWS = 50
MOST_ROUNDS, CONVERGED = 100, 1e-9
_NO_EVIDENCE = np.inf


@dataclass(frozen=True, slots=True, eq=False)
class PairedScores:
    """All arrays but `traffic` are (categories, experts, experts): over rows of a category with outcomes of i and j.

    `counts`: how many rows; `sums`, `squares`: of i's score and its square; `products`: of the two scores.
    On the diagonal stand the sums over all rows of one expert. `traffic` (categories,): how many prompts a category
    gets, in any unit.
    """

    experts: tuple[str, ...]
    counts: NDArray[np.float64]
    sums: NDArray[np.float64]
    squares: NDArray[np.float64]
    products: NDArray[np.float64]
    traffic: NDArray[np.float64]

    @classmethod
    def of(cls, outcomes: Outcomes, found: NDArray[np.int64], categories: int) -> "PairedScores":
        """Sums over rows; `found` (n,) is each row's category, from 0 to `categories` - 1."""
        shape = (categories, len(outcomes.experts), len(outcomes.experts))
        counts, sums, squares, products = (np.zeros(shape) for _ in range(4))
        known = (~np.isnan(outcomes.scores)).astype(np.float64)
        scores = np.nan_to_num(outcomes.scores)
        for category in np.unique(found):
            rows = found == category
            own, there = scores[rows], known[rows]
            counts[category] = there.T @ there
            sums[category] = own.T @ there
            squares[category] = (own * own).T @ there
            products[category] = own.T @ own
        traffic = np.bincount(found, minlength=categories).astype(np.float64)
        return cls(outcomes.experts, counts, sums, squares, products, traffic)

    def plus(self, other: "PairedScores", *, with_traffic: bool) -> "PairedScores":
        """The sums of both; experts that only one has are taken over. Categories must be the same.

        `with_traffic`: the rows of `other` are traffic, and no probe that somebody composed.
        """
        experts = (*self.experts, *(name for name in other.experts if name not in self.experts))
        mine, its = self.only(experts), other.only(experts)
        return PairedScores(
            experts,
            mine.counts + its.counts,
            mine.sums + its.sums,
            mine.squares + its.squares,
            mine.products + its.products,
            mine.traffic + its.traffic if with_traffic else mine.traffic,
        )

    def only(self, experts: Sequence[str]) -> "PairedScores":
        """The sums of these experts, in this order; none of those that are not known."""
        places = {name: i for i, name in enumerate(self.experts)}
        here = [i for i, name in enumerate(experts) if name in places]
        there = [places[experts[i]] for i in here]
        categories = range(len(self.traffic))

        def spread(array: NDArray[np.float64]) -> NDArray[np.float64]:
            wider = np.zeros((len(categories), len(experts), len(experts)))
            wider[np.ix_(categories, here, here)] = array[np.ix_(categories, there, there)]
            return wider

        return PairedScores(
            tuple(experts),
            spread(self.counts),
            spread(self.sums),
            spread(self.squares),
            spread(self.products),
            self.traffic,
        )

    def rows(self) -> NDArray[np.float64]:
        """(categories, experts): how many outcomes there are."""
        return np.diagonal(self.counts, axis1=1, axis2=2)

    def means(self) -> NDArray[np.float64]:
        """(categories, experts): mean scores; 0 where there is no outcome."""
        means: NDArray[np.float64] = np.diagonal(self.sums, axis1=1, axis2=2) / np.maximum(self.rows(), 1)
        return means

    def overall(self) -> NDArray[np.float64]:
        """(experts,): each expert's mean, as if all had been tried on the same share of every category."""
        return self._abilities_and_ease()[0]

    def _abilities_and_ease(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(experts,) abilities and (categories,) ease, whose sum fits the rows best (two-way analysis of variance).

        Where all experts were tried on the same rows an ability is the mean over them. By alternating least squares.
        """
        rows, sums = self.rows(), np.diagonal(self.sums, axis1=1, axis2=2)
        of_expert, of_category = np.maximum(rows.sum(axis=0), 1), np.maximum(rows.sum(axis=1), 1)
        ability, ease = sums.sum(axis=0) / of_expert, np.zeros(len(rows))
        for _ in range(MOST_ROUNDS):
            ease = (sums - rows * ability).sum(axis=1) / of_category
            ease -= (ease * of_category).sum() / of_category.sum()
            before, ability = ability, (sums - rows * ease[:, None]).sum(axis=0) / of_expert
            if np.abs(ability - before).max(initial=0) < CONVERGED:
                break
        return ability, ease

    def shrunk(self) -> NDArray[np.float64]:
        """(categories, experts): means drawn towards the expert's overall mean where few rows are behind them.

        The category's own difficulty is kept apart, so that an expert is not favoured for having been tried on
        easy categories only.
        """
        rows = self.rows()
        ability, ease = self._abilities_and_ease()
        prior = ability + ease[:, None]
        shrunk: NDArray[np.float64] = (self.means() * rows + prior * PRIOR_ROWS) / (rows + PRIOR_ROWS)
        return shrunk

    def p_values(self, default: int) -> NDArray[np.float64]:
        """(categories, experts): one-sided p-values that an expert is no better than `default` in a category.

        The paired difference and the difference of the rows that hold one of the two, weighted by the inverse of
        their variances, over its standard error: normal approximation. 1 where nothing can be said.
        """
        from scipy.stats import norm  # noqa: PLC0415 - training only

        difference, error = self.differences(default)
        values: NDArray[np.float64] = norm.sf(difference / error)
        values[np.isinf(error) | (difference <= 0)] = 1.0
        return values

    def differences(self, default: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Means by which experts are above `default`, and standard errors: (categories, experts) each."""
        paired, paired_error = self._paired(default)
        apart, apart_error = self._apart(default)
        weights = 1 / np.stack([paired_error, apart_error]) ** 2
        total = weights.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = np.where(total > 0, (weights * np.stack([paired, apart])).sum(axis=0) / total, 0.0)
            error = np.where(total > 0, 1 / np.sqrt(total), _NO_EVIDENCE)
        return difference, error

    def _paired(self, default: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        counts = self.counts[:, :, default]
        sums = self.sums[:, :, default] - self.sums[:, default, :]
        squares = self.squares[:, :, default] + self.squares[:, default, :] - 2 * self.products[:, :, default]
        mean = sums / np.maximum(counts, 1)
        return mean, _standard_error(counts, sums, squares)

    def _apart(self, default: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Of the rows that hold an outcome of one of the two only."""
        own = tuple(np.diagonal(array, axis1=1, axis2=2) for array in (self.counts, self.sums, self.squares))
        counts, sums, squares = (
            whole - array[:, :, default]
            for whole, array in zip(own, (self.counts, self.sums, self.squares), strict=True)
        )
        its_counts, its_sums, its_squares = (
            whole[:, [default]] - array[:, default, :]
            for whole, array in zip(own, (self.counts, self.sums, self.squares), strict=True)
        )
        mean = sums / np.maximum(counts, 1) - its_sums / np.maximum(its_counts, 1)
        errors = _standard_error(counts, sums, squares), _standard_error(its_counts, its_sums, its_squares)
        return mean, np.sqrt(errors[0] ** 2 + errors[1] ** 2)


def _standard_error(
    counts: NDArray[np.float64], sums: NDArray[np.float64], squares: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Of a mean; infinite below two rows. Half a squared point is added: a few equal values are no certainty."""
    mean = sums / np.maximum(counts, 1)
    variance = np.maximum(squares / np.maximum(counts, 1) - mean**2, 0)
    cautious = (variance * counts + 0.5) / np.maximum(counts, 1)
    with np.errstate(divide="ignore"):
        return np.where(counts >= 2, np.sqrt(cautious / np.maximum(counts - 1, 1)), _NO_EVIDENCE)
