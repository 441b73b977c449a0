"""Groups among vectors: in come unit vectors, out come the group of each row and how well it fits there.

k-means for every number of groups in question. The silhouette chooses among them, as in GLC (Qu et al., CVPR 2023,
arXiv 2303.07110), by what it exceeds that of data without groups, as the gap statistic does (Tibshirani et al., 2001).
Knows nothing of texts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.encoders.encoder import Vectors

SWEEP_ROWS = 2_000  # rows by which the number of groups is chosen, twenty-fold and more
STARTS = 4
REFERENCES = 4
STANDS_OUT = 4.0  # standard deviations over what data without groups give

Labels = NDArray[np.int64]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Grouping:
    """`labels` (n,): the group of each row, from 0. `silhouettes` (n,) in [-1, 1]; None where there is one group."""

    labels: Labels
    silhouettes: Scores | None


def group(vectors: Vectors, max_groups: int, seed: int) -> Grouping:
    """At most `max_groups` groups of `vectors` (n, dim); one where no number of groups stands out.

    What counts is the mean silhouette, less that of samples of one normal distribution with the same covariance that
    are grouped in the same way. The number of groups is the smallest within one standard error of the best; there is
    one group where the best is not four standard deviations of the samples above them. The same seed gives the same
    groups.
    """
    from threadpoolctl import threadpool_limits  # noqa: PLC0415 - discovery only

    rng = np.random.default_rng(seed)
    points = _directions(vectors)
    sample = points
    if len(points) > SWEEP_ROWS:
        sample = points[rng.choice(len(points), SWEEP_ROWS, replace=False)]
    most = min(max_groups, len(np.unique(sample, axis=0)) - 1)
    with threadpool_limits(limits=1):  # one thread adds up in the same order each time
        if most >= 2 and (count := _best_count(sample, most, seed, rng)):
            labels = _k_means(points, count, seed)
            return Grouping(labels, _silhouettes(points, labels))
    return Grouping(np.zeros(len(vectors), dtype=np.int64), None)


def _best_count(points: Vectors, most: int, seed: int, rng: np.random.Generator) -> int | None:
    """The number of groups, 2 to `most`; None where none stands out."""
    counts = range(2, most + 1)

    def sweep(rows: Vectors) -> list[Scores]:
        return [_silhouettes(rows, _k_means(rows, count, seed)) for count in counts]

    found = sweep(points)
    drawn = [sweep(_without_groups(points, rng)) for _ in range(REFERENCES)]
    references = np.array([[values.mean() for values in swept] for swept in drawn])
    gaps = np.array([values.mean() for values in found]) - references.mean(axis=0)
    best = int(gaps.argmax())
    if gaps[best] <= STANDS_OUT * np.sqrt(references.var(axis=0, ddof=1).mean()):
        return None
    error = found[best].std() / np.sqrt(len(points))
    return counts[int(np.flatnonzero(gaps >= gaps[best] - error)[0])]


def _silhouettes(points: Vectors, labels: Labels) -> Scores:
    """(n,): how much nearer a row is to its own group than to the next one. Takes the square of n in time."""
    from sklearn.metrics import silhouette_samples  # noqa: PLC0415 - discovery only

    values: Scores = silhouette_samples(points, labels, metric="cosine").astype(np.float64)
    return values


def _k_means(points: Vectors, count: int, seed: int) -> Labels:
    from sklearn.cluster import KMeans  # noqa: PLC0415 - discovery only

    labels: Labels = KMeans(count, n_init=STARTS, random_state=seed).fit_predict(points).astype(np.int64)
    return labels


def _directions(vectors: Vectors) -> Vectors:
    """From the common mean: what all of them share, as sentence vectors share much, tells no two apart."""
    return _units(vectors - vectors.mean(axis=0))


def _without_groups(points: Vectors, rng: np.random.Generator) -> Vectors:
    """As many rows of one normal distribution with the covariance of `points`."""
    _, spreads, axes = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    drawn = rng.normal(size=(len(points), len(spreads))) * (spreads / np.sqrt(len(points)))
    return _units((drawn @ axes).astype(np.float32))


def _units(rows: Vectors) -> Vectors:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    units: Vectors = rows / np.maximum(lengths, 1e-9)
    return units
