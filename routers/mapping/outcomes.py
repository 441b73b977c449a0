"""Outcomes: in come labelled prompts with scores of experts, out comes a table of scores by category and expert."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.prompts import LabelledPrompt

# A category's score counts for as much as the expert's overall one when it rests on this many rows.
PRIOR_ROWS = 50


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeTable:
    """Scores in [0, 1] of every expert in every category.

    `means` (categories, experts), `counts` of the same shape: rows behind each mean (0: the mean is not read).
    `traffic` (categories,): shares of the prompts that each category gets; with `default_traffic`, the share that
    no category gets, they sum to 1.
    """

    categories: Sequence[str]
    experts: Sequence[str]
    means: NDArray[np.float64]
    counts: NDArray[np.int64]
    traffic: NDArray[np.float64]
    default_traffic: float = 0.0

    def overall(self) -> NDArray[np.float64]:
        """(experts,): each expert's mean over all rows that it has."""
        rows = self.counts.sum(axis=0)
        sums: NDArray[np.float64] = (self.means * self.counts).sum(axis=0) / np.maximum(rows, 1)
        return sums

    def shrunk(self) -> NDArray[np.float64]:
        """(categories, experts): means drawn towards the expert's overall mean where few rows are behind them.

        The category's own difficulty is kept apart, so that an expert is not favoured for having been tried on
        easy categories only.
        """
        overall = self.overall()
        seen = self.counts.sum(axis=1)
        ease = ((self.means - overall) * self.counts).sum(axis=1) / np.maximum(seen, 1)
        prior = overall + ease[:, None]
        shrunk: NDArray[np.float64] = (self.means * self.counts + prior * PRIOR_ROWS) / (self.counts + PRIOR_ROWS)
        return shrunk


def experts_seen(prompts: Sequence[LabelledPrompt]) -> list[str]:
    """Names of the experts that have an outcome anywhere, sorted."""
    return sorted({name for prompt in prompts for name in prompt.outcomes})


def outcome_table(
    prompts: Sequence[LabelledPrompt], categories: Sequence[str], experts: Sequence[str], default_traffic: float
) -> OutcomeTable:
    """The table of `prompts` in scope; a category's traffic is its share of them, of what `default_traffic` leaves."""
    row_of = {category: row for row, category in enumerate(categories)}
    column_of = {expert: column for column, expert in enumerate(experts)}
    sums = np.zeros((len(categories), len(experts)))
    counts = np.zeros(sums.shape, dtype=np.int64)
    rows = np.zeros(len(categories))
    for prompt in prompts:
        if (row := row_of.get(prompt.category or "")) is None:
            continue
        rows[row] += 1
        for expert, score in prompt.outcomes.items():
            if (column := column_of.get(expert)) is not None:
                sums[row, column] += score
                counts[row, column] += 1
    return OutcomeTable(
        categories=tuple(categories),
        experts=tuple(experts),
        means=sums / np.maximum(counts, 1),
        counts=counts,
        traffic=(1 - default_traffic) * rows / max(rows.sum(), 1),
        default_traffic=default_traffic,
    )
