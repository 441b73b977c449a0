"""How alike two candidates are: by what they answer on the same rows.

Equal right answers say little: two good experts agree because both are right. So agreement is counted beyond what their
accuracies alone explain, as in CAPA (Goel et al., Great Models Think Alike and this Undermines AI Oversight, 2025).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from coe.selection.scoring import Candidate, Observation

SAME_TEXTS = 0.95


@dataclass(frozen=True, slots=True)
class Likeness:
    """`similarity` in [0, 1], 1 for candidates that cannot be told apart. Of two duplicates one is enough."""

    similarity: float
    duplicate: bool


Compare: TypeAlias = Callable[[Candidate, Candidate], Likeness]
"""Compares two candidates; symmetric."""


@dataclass(frozen=True, slots=True)
class AnswerLikeness:
    """Compares answers. `distinct` is the number of different references, at least 1: how many answers there can be."""

    distinct: int

    def __call__(self, one: Candidate, other: Candidate) -> Likeness:
        return Likeness(max(0.0, agreement(one, other, self.distinct)), same_texts(one, other))


def same_texts(one: Candidate, other: Candidate) -> bool:
    """Whether nearly all answers (95 %) are the same words. Different experts rarely word their answers alike."""
    equal = sum(mine.text == theirs.text for mine, theirs in zip(one.rows, other.rows, strict=True))
    return equal >= SAME_TEXTS * len(one.rows)


def agreement(one: Candidate, other: Candidate, distinct: int) -> float:
    """Agreement beyond what the accuracies explain, at most 1; 0 for independent errors, below 0 for opposite ones.

    Two answers agree where both are right, or both are wrong with the same final answer. Expected are both right by
    accident of accuracy, and both wrong with one of the `distinct - 1` wrong answers in common. Two candidates that
    leave no room beyond the expected (both always right) cannot be told apart: 1.
    """
    pairs = list(zip(one.rows, other.rows, strict=True))
    observed = sum(_agree(mine, theirs) for mine, theirs in pairs) / len(pairs)
    both_wrong = (1 - one.accuracy) * (1 - other.accuracy)
    expected = one.accuracy * other.accuracy + both_wrong / max(1, distinct - 1)
    return 1.0 if expected >= 1 else (observed - expected) / (1 - expected)


def _agree(mine: Observation, theirs: Observation) -> bool:
    if mine.right or theirs.right:
        return mine.right and theirs.right
    return mine.final == theirs.final
