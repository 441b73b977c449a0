"""What a candidate expert is worth on labelled examples: its observations go in, figures and a suspicion come out.

The score weighs right answers and the likelihood of the reference reasoning, because an expert that is right without
finding the reasoning likely may be guessing (ROCKET: K-shot accuracy and chain-of-thought perplexity).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from scipy.stats import binom, mannwhitneyu

SIGNIFICANCE = 0.05
FAR = 3.5  # modified z-score of an outlier: Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993
MAD_TO_SD = 1.4826
LEAST_SPREAD = 0.1  # of the median: candidates that lie closer together than this are not told apart
PEERS_NEEDED = 3

Reason: TypeAlias = Literal["guess", "unlikely reasoning", "duplicate"]
"""Why a candidate is dropped.

`guess`: its right answers are no more than blind guessing gives. `unlikely reasoning`: it finds the reference reasoning
far less likely than the other candidates do, and no likelier on the rows it answers right than on the others, so that
nothing ties its right answers to the reasoning. `duplicate`: a better candidate gives the same answers.
"""


@dataclass(frozen=True, slots=True)
class Observation:
    """One answer. `nll`: mean negative log-likelihood of the reference completion's tokens, in nats, at least 0.

    `text` is the normalised answer, `final` what the check compared (None: the answer holds no such thing).
    """

    text: str
    final: str | None
    right: bool
    nll: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """An expert and its observations, one a row; all candidates of a selection answered the same rows in one order."""

    name: str
    rows: tuple[Observation, ...]

    @property
    def right(self) -> int:
        """Number of right answers."""
        return sum(row.right for row in self.rows)

    @property
    def accuracy(self) -> float:
        """Share of right answers, in [0, 1]."""
        return self.right / len(self.rows)

    @property
    def nll(self) -> float:
        """Mean over rows of the reference completion's negative log-likelihood a token, in nats."""
        return math.fsum(row.nll for row in self.rows) / len(self.rows)

    @property
    def score(self) -> float:
        """Mean of the accuracy and of exp(-nll), the reference tokens' mean probability; in [0, 1].

        Both have fixed scales, so the score of one candidate does not depend on the others.
        """
        return (self.accuracy + math.exp(-self.nll)) / 2


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Whether a candidate guesses.

    Attributes:
        p_guess: chance that a blind guesser is right at least as often.
        likelihood_z: how many robust standard deviations its nll lies above the candidates' median; None with fewer
            than three candidates.
        p_reasoning: chance that rows answered right have so much lower an nll than the others where likelihood and
            correctness are unrelated; None where all answers are right or all are wrong.
        reason: what it is dropped for, or None.
    """

    p_guess: float
    likelihood_z: float | None
    p_reasoning: float | None
    reason: Reason | None


def chance_of(references: Sequence[str | None]) -> float:
    """Share of rows that the best constant answer gets right; 0 where no reference occurs twice.

    A constant that is right on one row only is that row's own reference, which nobody could guess.
    """
    commonest = max(Counter(references).values(), default=0)
    return commonest / len(references) if commonest > 1 else 0.0


def suspicions(candidates: Sequence[Candidate], chance: float) -> Mapping[str, Suspicion]:
    """By name: who guesses. `chance` in [0, 1) is the share of rows that the best constant answer gets right.

    A candidate is a guesser where one of two rules holds:

    - its right answers are no more than those of a guesser who is right on each row with probability `chance`
      (one-sided binomial test at 5 %; where nothing can be guessed, one right answer is enough), or
    - its nll is an outlier above the candidates' median (modified z-score above 3.5, at least three candidates), and
      its own rows do not speak for it: the nll of those answered right is not significantly lower than that of the
      others (one-sided Mann-Whitney test at 5 %). Always being right speaks for it.
    """
    deviations = _likelihood_z([candidate.nll for candidate in candidates])
    return {
        candidate.name: _suspicion(candidate, chance, z) for candidate, z in zip(candidates, deviations, strict=True)
    }


def _suspicion(candidate: Candidate, chance: float, likelihood_z: float | None) -> Suspicion:
    p_guess = float(binom.sf(candidate.right - 1, len(candidate.rows), chance))
    p_reasoning = _p_reasoning(candidate)
    far = likelihood_z is not None and likelihood_z > FAR
    reason: Reason | None = None
    if p_guess > SIGNIFICANCE:
        reason = "guess"
    elif far and p_reasoning is not None and p_reasoning > SIGNIFICANCE:
        reason = "unlikely reasoning"
    return Suspicion(p_guess, likelihood_z, p_reasoning, reason)


def _likelihood_z(nlls: Sequence[float]) -> list[float | None]:
    if len(nlls) < PEERS_NEEDED:
        return [None] * len(nlls)
    values = np.asarray(nlls)
    median = float(np.median(values))
    spread = max(MAD_TO_SD * float(np.median(np.abs(values - median))), LEAST_SPREAD * median)
    return [(nll - median) / spread if spread else 0.0 for nll in nlls]


def _p_reasoning(candidate: Candidate) -> float | None:
    right = [row.nll for row in candidate.rows if row.right]
    wrong = [row.nll for row in candidate.rows if not row.right]
    if not right or not wrong:
        return None
    return float(mannwhitneyu(right, wrong, alternative="less").pvalue)
