"""Candidates whose nature is known, planted among each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from coe.selection.scoring import Candidate, Observation

ROWS = 50
OPTIONS = 2
CHANCE = 0.5


def candidate(name: str, right: Sequence[bool], nll: Sequence[float], wording: str | None = None) -> Candidate:
    """`wording` is how it words its answers; its name where None, so that only it says them so."""
    voice = name if wording is None else wording
    rows = (
        Observation(f"{voice} says {row} is {ok}", "yes" if ok else f"no {row % 2}", ok, value)
        for row, (ok, value) in enumerate(zip(right, nll, strict=True))
    )
    return Candidate(name, tuple(rows))


def solver(name: str, accuracy: float, seed: int, likelihood: float = 0.5) -> Candidate:
    """Finds the reasoning likely, and likelier on the rows that it answers right."""
    rng = np.random.default_rng(seed)
    right = _shuffled(accuracy, rng)
    nll = [float(likelihood * (0.8 if ok else 1.6) * rng.uniform(0.9, 1.1)) for ok in right]
    return candidate(name, right, nll)


def lucky(name: str, accuracy: float, seed: int) -> Candidate:
    """Is right often, but never finds the reasoning likely, right or wrong."""
    rng = np.random.default_rng(seed)
    return candidate(name, _shuffled(accuracy, rng), [float(rng.uniform(3, 5)) for _ in range(ROWS)])


def worse_copy(original: Candidate, name: str) -> Candidate:
    """Gives the same answers and finds every completion less likely."""
    rows = (Observation(row.text, row.final, row.right, row.nll + 0.25) for row in original.rows)
    return Candidate(name, tuple(rows))


def _shuffled(accuracy: float, rng: np.random.Generator) -> list[bool]:
    right = np.arange(ROWS) < round(accuracy * ROWS)
    return [bool(value) for value in rng.permutation(right)]
