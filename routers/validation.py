"""Cross-validation: in come rows, out come predictions for every row by a model that did not see it, and a recipe.

The recipe says how the router's classifier is fitted: its strength, whether mixed outliers and whether confidently
classified unlabelled prompts take part. Each is kept only where predictions of held-out rows gain by it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from routers.abstention import Evidence, candidates, scaled, separation
from routers.classifier import (
    STRENGTHS,
    Features,
    LinearClassifier,
    fit_path,
    fit_temperature,
    log_loss,
    one_hot,
    softmax,
)
from routers.encoders.encoder import Vectors
from routers.folds import assign_folds
from routers.prototypes import Prototypes, fit_prototypes
from routers.signals import Signal, measure

FOLDS = 4
# Mixed outliers for each row of the data, and at most; more cost time and told nothing better.
MIXED_SHARE, MOST_MIXED = 0.2, 2_000
# Self-training takes an unlabelled prompt at this probability (Lee 2013, pseudo-labels).
CONFIDENCE_BAR = 0.95
# Groups of categories that are held out in turn where the data hold no out-of-scope prompts to choose a signal by.
STRANGE_GROUPS = 3

FoldProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Training rows: `features` of n rows; `labels` (n,) from 0, the last class may be outliers.

    `categories` counts the classes that are not outliers. `unlabelled`: features of prompts without a label.
    """

    features: Features
    labels: NDArray[np.int64]
    categories: int
    unlabelled: Features | None = None

    def __getitem__(self, rows: NDArray[np.int64]) -> "Rows":
        return replace(self, features=self.features[rows], labels=self.labels[rows])

    @property
    def inside(self) -> NDArray[np.bool_]:
        """(n,): which rows belong to a category."""
        belongs: NDArray[np.bool_] = self.labels < self.categories
        return belongs

    @property
    def has_outliers(self) -> bool:
        return not self.inside.all()

    def prototypes(self, seed: int) -> Prototypes:
        """Of the rows that belong to a category."""
        return fit_prototypes(self.features.dense[self.inside], self.labels[self.inside], seed)


@dataclass(frozen=True, slots=True)
class Recipe:
    """How a classifier is fitted. `strengths`: a path, of which the last is the classifier's own."""

    strengths: Sequence[float]
    mixed_outliers: bool = False
    self_training: bool = False
    temperature: float = 1.0

    def fit(self, rows: Rows, seed: int) -> LinearClassifier:
        fitted = self.path(rows, seed)[-1]
        return replace(fitted, temperature=self.temperature)

    def path(self, rows: Rows, seed: int) -> list[LinearClassifier]:
        """A classifier for each strength."""
        features, targets = rows.features, one_hot(rows.labels, int(rows.labels.max()) + 1)
        if self.mixed_outliers:
            features, targets = _with_mixed_outliers(rows, features, targets, seed)
        path = fit_path(features, targets, self.strengths, outlier_class=rows.has_outliers)
        if self.self_training and rows.unlabelled is not None:
            features, targets = _with_unlabelled(
                rows.unlabelled, features, targets, replace(path[-1], temperature=self.temperature)
            )
            path = fit_path(features, targets, self.strengths, outlier_class=rows.has_outliers)
        return path


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What was predicted of every row by a model that did not see it.

    `logits` (n, classes), `distances` (n,) to the nearest prototype, squared. `evidence` tells in and out of scope
    apart best; `auroc` says how well, None where no out-of-scope rows could be held out.
    """

    recipe: Recipe
    logits: Vectors
    distances: NDArray[np.float64]
    evidence: Evidence
    auroc: float | None

    def measured(self, signals: Sequence[Signal], categories: int) -> NDArray[np.float64]:
        return measure(signals, self.logits, self.distances, categories)


def cross_validate(rows: Rows, seed: int, progress: FoldProgress | None = None) -> HeldOut:
    """Fit on three quarters, predict the fourth, four times; every class needs a row in each fold.

    Raises nothing of its own.
    """
    folds = list(_folds(rows, seed))
    passes = 1 + rows.has_outliers + (rows.unlabelled is not None)
    told = _Told(progress, passes * FOLDS)
    distances = np.zeros(len(rows.labels))
    for seen, held_out in folds:
        distances[held_out] = rows[seen].prototypes(seed).nearest(rows.features.dense[held_out])
    recipe, logits = _strongest(rows, folds, seed, told)
    if rows.unlabelled is not None:
        recipe, logits = _if_likelier(replace(recipe, self_training=True), (recipe, logits), rows, folds, seed, told)
    if not rows.has_outliers:
        evidence = _evidence_without_outliers(rows, recipe, logits, distances, seed)
        return HeldOut(recipe, logits, distances, evidence, None)
    evidence, told_apart = _best_evidence(rows, logits, distances)
    mixed = replace(recipe, mixed_outliers=True)
    of_mixed = _predict(mixed, rows, folds, seed, told)[-1]
    mixed_evidence, mixed_apart = _best_evidence(rows, of_mixed, distances)
    if mixed_apart > told_apart and _loss(rows, of_mixed, recipe) <= 1.02 * _loss(rows, logits, recipe):
        return HeldOut(_calibrated(mixed, rows, of_mixed), of_mixed, distances, mixed_evidence, mixed_apart)
    return HeldOut(recipe, logits, distances, evidence, told_apart)


_Fold = tuple[NDArray[np.int64], NDArray[np.int64]]


def _folds(rows: Rows, seed: int) -> Iterator[_Fold]:
    fold = assign_folds(rows.features.dense, rows.labels, FOLDS, seed)
    for number in range(FOLDS):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


class _Told:
    """Counts folds over all passes for a progress bar."""

    def __init__(self, progress: FoldProgress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, 0

    def one(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _predict(recipe: Recipe, rows: Rows, folds: Sequence[_Fold], seed: int, told: _Told) -> Vectors:
    """(strengths, n, classes): logits of every row by the fold's model that did not see it."""
    logits = np.zeros((len(recipe.strengths), len(rows.labels), int(rows.labels.max()) + 1), dtype=np.float32)
    for seen, held_out in folds:
        features = rows.features[held_out]
        for place, classifier in enumerate(recipe.path(rows[seen], seed)):
            logits[place, held_out] = classifier.logits(features)
        told.one()
    return logits


def _strongest(rows: Rows, folds: Sequence[_Fold], seed: int, told: _Told) -> tuple[Recipe, Vectors]:
    path = _predict(Recipe(STRENGTHS), rows, folds, seed, told)
    recipes = [_calibrated(Recipe(STRENGTHS[: place + 1]), rows, logits) for place, logits in enumerate(path)]
    best = min(range(len(path)), key=lambda place: _loss(rows, path[place], recipes[place]))
    return recipes[best], path[best]


def _if_likelier(  # noqa: PLR0917 - two candidates, and what every pass takes
    changed: Recipe, found: tuple[Recipe, Vectors], rows: Rows, folds: Sequence[_Fold], seed: int, told: _Told
) -> tuple[Recipe, Vectors]:
    logits = _predict(changed, rows, folds, seed, told)[-1]
    changed = _calibrated(changed, rows, logits)
    better = _loss(rows, logits, changed) < _loss(rows, found[1], found[0])
    return (changed, logits) if better else found


def _calibrated(recipe: Recipe, rows: Rows, logits: Vectors) -> Recipe:
    return replace(recipe, temperature=fit_temperature(_of_categories(rows, logits), rows.labels[rows.inside]))


def _loss(rows: Rows, logits: Vectors, recipe: Recipe) -> float:
    return log_loss(_of_categories(rows, logits), rows.labels[rows.inside], recipe.temperature)


def _of_categories(rows: Rows, logits: Vectors) -> Vectors:
    return logits[rows.inside, : rows.categories]


def _with_mixed_outliers(rows: Rows, features: Features, targets: Vectors, seed: int) -> tuple[Features, Vectors]:
    """Rows between a category's and an outlier, more uncertain the more of the outlier they hold (MixOE).

    Zhang et al., arXiv 2207.02556: share ~ Beta(1, 1), x = share x_in + (1 - share) x_out, and the target likewise
    between the label and the uniform distribution over the categories.
    """
    rng = np.random.default_rng(seed)
    count = min(MOST_MIXED, max(1, round(MIXED_SHARE * len(rows.labels))))
    own = rng.choice(np.flatnonzero(rows.inside), count)
    strange = rng.choice(np.flatnonzero(~rows.inside), count)
    share = rng.beta(1, 1, count).astype(np.float32)
    uniform = np.zeros(targets.shape[1], dtype=np.float32)
    uniform[: rows.categories] = 1 / rows.categories
    mixed = rows.features[own].mixed(rows.features[strange], share)
    return features.with_rows(mixed), np.vstack(
        [targets, share[:, None] * targets[own] + (1 - share)[:, None] * uniform]
    )


def _with_unlabelled(
    unlabelled: Features, features: Features, targets: Vectors, classifier: LinearClassifier
) -> tuple[Features, Vectors]:
    """The rows, and the unlabelled ones whose label the classifier is sure of."""
    logits = classifier.logits(unlabelled)
    sure = softmax(logits, classifier.temperature).max(axis=1) >= CONFIDENCE_BAR
    chosen = np.flatnonzero(sure)
    guessed = one_hot(logits[chosen].argmax(axis=1), targets.shape[1])
    return features.with_rows(unlabelled[chosen]), np.vstack([targets, guessed])


def _best_evidence(rows: Rows, logits: Vectors, distances: NDArray[np.float64]) -> tuple[Evidence, float]:
    """The signals that tell in and out of scope apart best, and their AUROC."""
    return _best_of(candidates(outlier_class=True), logits, distances, rows.inside, rows.categories)


def _best_of(
    sets: Sequence[tuple[Signal, ...]],
    logits: Vectors,
    distances: NDArray[np.float64],
    inside: NDArray[np.bool_],
    categories: int,
) -> tuple[Evidence, float]:
    tried: list[tuple[Evidence, float]] = []
    for signals in sets:
        measured = measure(signals, logits, distances, categories)
        evidence = scaled(signals, measured[inside])
        tried.append((evidence, separation(evidence, measured[inside], measured[~inside])))
    return max(tried, key=lambda one: one[1])


def _evidence_without_outliers(
    rows: Rows, recipe: Recipe, logits: Vectors, distances: NDArray[np.float64], seed: int
) -> Evidence:
    """Groups of categories play the strange prompts in turn; the signals that tell them best on average are taken."""
    sets = candidates(outlier_class=False)
    if rows.categories <= STRANGE_GROUPS:
        chosen = sets[-1]
    else:
        apart = np.zeros(len(sets))
        for group in range(STRANGE_GROUPS):
            apart += _separations(rows, np.arange(rows.categories) % STRANGE_GROUPS == group, sets, recipe, seed)
        chosen = sets[int(apart.argmax())]
    return scaled(chosen, measure(chosen, logits, distances, rows.categories))


def _separations(
    rows: Rows, strange: NDArray[np.bool_], sets: Sequence[tuple[Signal, ...]], recipe: Recipe, seed: int
) -> NDArray[np.float64]:
    """(sets,): AUROC of each set of signals, by a model of half the rows of the categories that are not `strange`."""
    half = np.random.default_rng(seed).random(len(rows.labels)) < 0.5
    outside = strange[rows.labels]
    kept = np.cumsum(~strange) - 1
    fitting = replace(rows[np.flatnonzero(half & ~outside)], categories=int((~strange).sum()), unlabelled=None)
    fitting = replace(fitting, labels=kept[fitting.labels])
    if len(np.unique(fitting.labels)) < fitting.categories:  # too few rows for a half of every category
        return np.zeros(len(sets))
    classifier = replace(recipe, self_training=False).fit(fitting, seed)
    tested = rows.features[np.flatnonzero(~half)]
    logits, inside = classifier.logits(tested), ~outside[~half]
    distances = fitting.prototypes(seed).nearest(tested.dense)
    return np.array([_best_of([one], logits, distances, inside, fitting.categories)[1] for one in sets])
