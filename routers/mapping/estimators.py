"""Estimators: in come a prompt's vector and category probabilities, out come the scores to expect of every expert.

Beside the expert map, which knows a prompt by its category alone:

- `soft`: posterior-weighted scores, the least-squares fit of outcomes on the probabilities of the categories;
- `direct`: the same on the encoder's vector as well (per-expert outcome regression);
- `neighbours`: the mean outcomes of the nearest training prompts (arXiv 2505.12601);
- `clusters`: the mean outcomes of the nearest of some k-means clusters (Avengers, arXiv 2505.19797).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, assert_never

import numpy as np
from numpy.typing import NDArray

from routers.encoders.encoder import Vectors
from routers.mapping.outcomes import Outcomes
from routers.mapping.paired import PRIOR_ROWS

EstimatorKind: TypeAlias = Literal["soft", "direct", "neighbours", "clusters"]
KINDS: tuple[EstimatorKind, ...] = ("soft", "direct", "neighbours", "clusters")
Arrays: TypeAlias = Mapping[str, NDArray[np.float32]]
SOFT_PENALTY = 20.0
DIRECT_PENALTIES = (30.0, 100.0, 300.0)
MOST_NEIGHBOURS, ROWS_PER_NEIGHBOUR = 200, 25
MOST_CLUSTERS, ROWS_PER_CLUSTER = 32, 100
MOST_KEPT = 8_192


@dataclass(frozen=True, slots=True, eq=False)
class Inputs:
    """What is known of n prompts: `vectors` (n, dim) of the encoder, `posterior` (n, categories) probabilities."""

    vectors: Vectors
    posterior: NDArray[np.float64]

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> "Inputs":
        return Inputs(self.vectors[rows], self.posterior[rows])

    def __len__(self) -> int:
        return len(self.vectors)


class Estimator(Protocol):
    """Immutable and thread-safe. `arrays`: what it is, to be written into an artefact and given to `restore`."""

    @property
    def kind(self) -> EstimatorKind: ...

    @property
    def arrays(self) -> Arrays: ...

    def estimate(self, inputs: Inputs) -> NDArray[np.float64]:
        """(n, experts): expected scores."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Linear:
    """`weights` (categories [+ dim], experts) and `bias` (experts,)."""

    kind: EstimatorKind
    weights: NDArray[np.float32]
    bias: NDArray[np.float32]

    @property
    def arrays(self) -> Arrays:
        return {"weights": self.weights, "bias": self.bias}

    def estimate(self, inputs: Inputs) -> NDArray[np.float64]:
        return _linear_inputs(self.kind, inputs) @ self.weights + self.bias


@dataclass(frozen=True, slots=True, eq=False)
class Nearest:
    """`points` (m, dim) and the `scores` (m, experts) of each; the mean over the `count` (1,) nearest is taken."""

    kind: EstimatorKind
    points: NDArray[np.float32]
    scores: NDArray[np.float32]
    count: NDArray[np.float32]

    @property
    def arrays(self) -> Arrays:
        return {"points": self.points, "scores": self.scores, "count": self.count}

    def estimate(self, inputs: Inputs) -> NDArray[np.float64]:
        count = min(int(self.count[0]), len(self.points))
        # Of the unit vectors of prompts the nearest has the largest product less half the point's own square.
        closeness = inputs.vectors @ self.points.T - 0.5 * np.einsum("md,md->m", self.points, self.points)
        nearest = np.argpartition(-closeness, count - 1, axis=1)[:, :count]
        estimates: NDArray[np.float64] = self.scores[nearest].mean(axis=1, dtype=np.float64)
        return estimates


def _linear_inputs(kind: EstimatorKind, inputs: Inputs) -> NDArray[np.float64]:
    return inputs.posterior if kind == "soft" else np.hstack([inputs.posterior, inputs.vectors])


def fit_estimator(kind: EstimatorKind, inputs: Inputs, outcomes: Outcomes, seed: int) -> Estimator:
    """An estimator of the experts of `outcomes` (n rows, as `inputs`)."""
    match kind:
        case "soft" | "direct":
            return _fit_linear(kind, inputs, outcomes)
        case "neighbours":
            return _fit_neighbours(inputs, outcomes, seed)
        case "clusters":
            return _fit_clusters(inputs, outcomes, seed)
        case _:
            assert_never(kind)


def restore(kind: EstimatorKind, arrays: Arrays) -> Estimator:
    """The estimator that had these arrays. Raises KeyError where they are another kind's."""
    if kind in {"soft", "direct"}:
        return Linear(kind, arrays["weights"], arrays["bias"])
    return Nearest(kind, arrays["points"], arrays["scores"], arrays["count"])


def _fit_linear(kind: EstimatorKind, inputs: Inputs, outcomes: Outcomes) -> Linear:
    """Each expert on the rows that hold an outcome of it; one with too few of them keeps its mean."""
    features, overall = _linear_inputs(kind, inputs), outcomes.overall()
    weights = np.zeros((features.shape[1], len(outcomes.experts)))
    bias = overall.copy()
    for rows, experts in _alike(outcomes):
        if rows.sum() < PRIOR_ROWS:
            continue
        targets = outcomes.scores[rows][:, experts]
        weights[:, experts], bias[experts] = _ridge(kind)(features[rows], targets)
    return Linear(kind, weights.astype(np.float32), bias.astype(np.float32))


_Ridge: TypeAlias = Callable[
    [NDArray[np.float64], NDArray[np.float64]], tuple[NDArray[np.float64], NDArray[np.float64]]
]


def _ridge(kind: EstimatorKind) -> _Ridge:
    from sklearn.linear_model import Ridge, RidgeCV  # noqa: PLC0415 - training only

    model = Ridge(alpha=SOFT_PENALTY) if kind == "soft" else RidgeCV(alphas=DIRECT_PENALTIES)

    def fit(
        features: NDArray[np.float64], targets: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        model.fit(features, targets)
        return np.atleast_2d(model.coef_).T, np.atleast_1d(model.intercept_)

    return fit


def _alike(outcomes: Outcomes) -> list[tuple[NDArray[np.bool_], list[int]]]:
    """Experts by the rows that hold an outcome of them: those with the same rows are fitted together."""
    known = ~np.isnan(outcomes.scores)
    groups: dict[bytes, list[int]] = {}
    for expert in range(len(outcomes.experts)):
        groups.setdefault(known[:, expert].tobytes(), []).append(expert)
    return [(known[:, experts[0]], experts) for experts in groups.values()]


def _fit_neighbours(inputs: Inputs, outcomes: Outcomes, seed: int) -> Nearest:
    rows = np.random.default_rng(seed).permutation(len(inputs))[:MOST_KEPT]
    count = int(np.clip(len(rows) // ROWS_PER_NEIGHBOUR, 1, MOST_NEIGHBOURS))
    # An outcome that is not known is taken to be the expert's mean: it speaks neither for nor against.
    scores = np.where(np.isnan(outcomes.scores[rows]), outcomes.overall(), outcomes.scores[rows])
    return Nearest("neighbours", inputs.vectors[rows], scores.astype(np.float32), np.array([count], np.float32))


def _fit_clusters(inputs: Inputs, outcomes: Outcomes, seed: int) -> Nearest:
    found, centres = _clusters(inputs.vectors, seed)
    overall, scores = outcomes.overall(), []
    for cluster in range(len(centres)):
        own = outcomes.scores[found == cluster]
        known = ~np.isnan(own)
        scores.append((np.nansum(own, axis=0) + PRIOR_ROWS * overall) / (known.sum(axis=0) + PRIOR_ROWS))
    return Nearest("clusters", centres, np.array(scores, dtype=np.float32), np.ones(1, np.float32))


def _clusters(vectors: Vectors, seed: int) -> tuple[NDArray[np.int64], Vectors]:
    """(n,): the cluster of each of `vectors` (n, dim); and the centres (clusters, dim)."""
    from sklearn.cluster import KMeans  # noqa: PLC0415 - training only

    if not vectors.shape[1]:  # a router that reads words alone
        return np.zeros(len(vectors), dtype=np.int64), np.zeros((1, 0), dtype=np.float32)
    count = int(np.clip(len(vectors) // ROWS_PER_CLUSTER, 1, MOST_CLUSTERS))
    model = KMeans(count, n_init=1, random_state=seed).fit(vectors)
    return model.labels_.astype(np.int64), model.cluster_centers_.astype(np.float32)
