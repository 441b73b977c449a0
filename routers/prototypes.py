"""Prototypes: typical points of each category in the encoder's space; in come vectors, out come distances to them.

Two stages read them: the classifier takes closeness to each prototype as features beside the vector itself, which
lets a linear model bend its borders, and abstention takes the distance to the nearest one.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routers.encoders.encoder import Vectors

MAX_PER_CATEGORY = 64
ROWS_PER_PROTOTYPE = 8
SHARPNESS = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Prototypes:
    """`centres` (prototypes, dim) float32, in the space of the encoder's vectors; `squares` are their own."""

    centres: Vectors
    squares: Vectors = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "squares", (self.centres * self.centres).sum(axis=1))

    def squared_distances(self, vectors: Vectors) -> Vectors:
        """(n, prototypes), 0 or more; at most 4 between unit vectors."""
        products = vectors @ self.centres.T
        squares = np.einsum("nd,nd->n", vectors, vectors)[:, None] + self.squares
        distances: Vectors = np.maximum(squares - 2 * products, 0)
        return distances

    def features(self, vectors: Vectors) -> Vectors:
        """(n, dim + prototypes): the vector, then its closeness to each prototype, in (0, 1]."""
        return np.hstack([vectors, np.exp(-SHARPNESS * self.squared_distances(vectors))])

    def typicality(self, vectors: Vectors) -> NDArray[np.float64]:
        """(n,), 0 or less: minus the squared distance to the nearest prototype."""
        nearest: NDArray[np.float64] = self.squared_distances(vectors).min(axis=1).astype(np.float64)
        return -nearest

    def mean_cosine(self, vectors: Vectors) -> Vectors:
        """(n,): of unit vectors to the rows that the prototypes stand for, each prototype's rows weighing the same."""
        means: Vectors = vectors @ self.centres.mean(axis=0)
        return means


def fit_prototypes(vectors: Vectors, labels: NDArray[np.int64], seed: int) -> Prototypes:
    """k-means within each category: one prototype for eight rows, at most 64 a category.

    Deterministic on one thread; several add up the centres in any order.
    """
    from sklearn.cluster import KMeans  # noqa: PLC0415 - training only

    centres: list[Vectors] = []
    for label in np.unique(labels):
        rows = vectors[labels == label]
        distinct = len(np.unique(rows, axis=0))
        count = min(MAX_PER_CATEGORY, max(1, len(rows) // ROWS_PER_PROTOTYPE), distinct)
        model = KMeans(count, n_init=1, max_iter=50, random_state=seed).fit(rows)
        centres.append(model.cluster_centers_.astype(np.float32))
    return Prototypes(np.concatenate(centres))
