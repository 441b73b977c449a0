"""Outcomes: in come labelled prompts with scores of experts, out comes a matrix of scores by row and expert."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.prompts import LabelledPrompt


@dataclass(frozen=True, slots=True, eq=False)
class Outcomes:
    """`scores` (n, experts) in [0, 1], NaN where a row holds no outcome of the expert."""

    experts: tuple[str, ...]
    scores: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Outcomes":
        return Outcomes(self.experts, self.scores[rows])

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def complete(self) -> NDArray[np.bool_]:
        """(n,): which rows hold an outcome of every expert; policies can be compared on these."""
        known: NDArray[np.bool_] = ~np.isnan(self.scores)
        return np.asarray(known.all(axis=1))

    def overall(self) -> NDArray[np.float64]:
        """(experts,): each expert's mean over the rows that hold an outcome of it; 0 where none does."""
        known = ~np.isnan(self.scores)
        means: NDArray[np.float64] = np.nansum(self.scores, axis=0) / np.maximum(known.sum(axis=0), 1)
        return means


def experts_seen(prompts: Sequence[LabelledPrompt]) -> list[str]:
    """Names of the experts that have an outcome anywhere, sorted."""
    return sorted({name for prompt in prompts for name in prompt.outcomes})


def outcomes_of(prompts: Sequence[LabelledPrompt], experts: Sequence[str]) -> Outcomes:
    """A row for every prompt, in order."""
    rows = [[prompt.outcomes.get(name, np.nan) for name in experts] for prompt in prompts]
    return Outcomes(tuple(experts), np.array(rows, dtype=np.float64).reshape(len(prompts), len(experts)))


def answered_outcomes_of(prompts: Sequence[LabelledPrompt], experts: Sequence[str]) -> Outcomes:
    """As `outcomes_of`, without the outcomes of experts that gave no answer where a row tells answers."""
    outcomes = outcomes_of(prompts, experts)
    silent = [[bool(prompt.answers) and name not in prompt.answers for name in experts] for prompt in prompts]
    mask = np.array(silent, dtype=bool).reshape(outcomes.scores.shape)
    return Outcomes(outcomes.experts, np.where(mask, np.nan, outcomes.scores))
