"""Folds for cross-validation: in come vectors and labels, out comes the fold of every row.

Rows that say nearly the same share a fold. Kept apart, one would be predicted by a model that saw the other, and what
is calibrated on such predictions promises too much of new prompts: of in-scope prompts more would be rejected than
the share that was asked for.
"""

import numpy as np
from numpy.typing import NDArray

from routers.encoders.encoder import Vectors

NEARLY_THE_SAME = 0.9
# The similarities of a class's rows are held in memory at once; larger classes are only shuffled.
MOST_COMPARED = 8_000


def assign_folds(vectors: Vectors, labels: NDArray[np.int64], folds: int, seed: int) -> NDArray[np.int64]:
    """(n,) from 0 to `folds` - 1; `vectors` (n, dim) of length 1, `labels` (n,).

    Each class is spread evenly: one of `folds` rows or more is in every fold.
    """
    rng = np.random.default_rng(seed)
    vectors = _centred(vectors)
    fold = np.zeros(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        rows = rng.permutation(np.flatnonzero(labels == label))
        if len(rows) <= MOST_COMPARED:
            rows = rows[np.argsort(_groups(vectors[rows]), kind="stable")]
        # The cuts split three groups at most.
        fold[rows] = np.arange(len(rows)) * folds // len(rows)
    return fold


def _centred(vectors: Vectors) -> Vectors:
    """(n, dim) of length 1, without what all have in common: static vectors all point much the same way."""
    centred = vectors - vectors.mean(axis=0) if len(vectors) else vectors
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    unit: Vectors = centred / np.where(lengths > 0, lengths, 1)
    return unit


def _groups(vectors: Vectors) -> NDArray[np.int64]:
    """(n,): the group of each row; a chain of near repeats is one group."""
    from scipy.sparse import csr_matrix  # noqa: PLC0415 - training only
    from scipy.sparse.csgraph import connected_components  # noqa: PLC0415  # as the import above

    alike = csr_matrix((vectors @ vectors.T >= NEARLY_THE_SAME).astype(np.int8))
    return np.asarray(connected_components(alike, directed=False)[1], dtype=np.int64)
