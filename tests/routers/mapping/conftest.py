"""Paired scores to learn maps from: planted, with as much evidence as a test needs."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from routers.mapping.outcomes import Outcomes
from routers.mapping.paired import PairedScores

MakePaired = Callable[..., PairedScores]


@pytest.fixture(scope="session")
def make_paired() -> MakePaired:
    """`make_paired(chances, rows, seed=s)`: outcomes of 0 or 1 by `chances` [category][expert], `rows` a category."""

    def make(chances: Sequence[Sequence[float]], rows: int, *, seed: int = 0) -> PairedScores:
        right = np.array(chances)
        categories, experts = right.shape
        found = np.repeat(np.arange(categories), rows)
        drawn = (np.random.default_rng(seed).random((len(found), experts)) < right[found]).astype(np.float64)
        return PairedScores.of(Outcomes(tuple(f"e{i}" for i in range(experts)), drawn), found, categories)

    return make
