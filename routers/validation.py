"""Cross-validation: in come vectors and labels, out come predictions for every row by a model that did not see it.

From these the classifier's strength and temperature are chosen, and abstention's signal is chosen and calibrated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from routers.abstention import Signal
from routers.classifier import (
    STRENGTHS,
    Features,
    LinearClassifier,
    fit_path,
    fit_temperature,
    in_scope_margin,
    log_loss,
)
from routers.encoders.encoder import Vectors
from routers.prototypes import Prototypes, fit_prototypes
from routers.ranking import auroc

FOLDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class Rows:
    """Training rows: `vectors` (n, dim) and `words` (n, columns); `labels` (n,) from 0, the last class may be outliers.

    `categories` counts the classes that are not outliers.
    """

    vectors: Vectors
    words: csr_matrix
    labels: NDArray[np.int64]
    categories: int

    def __getitem__(self, rows: NDArray[np.int64]) -> "Rows":
        return Rows(self.vectors[rows], self.words[rows], self.labels[rows], self.categories)

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
        return fit_prototypes(self.vectors[self.inside], self.labels[self.inside], seed)

    def features(self, prototypes: Prototypes) -> Features:
        return Features(prototypes.features(self.vectors), self.words)

    def fit(self, prototypes: Prototypes, strengths: tuple[float, ...] = STRENGTHS) -> list[LinearClassifier]:
        return fit_path(self.features(prototypes), self.labels, strengths, outlier_class=self.has_outliers)


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """What was predicted of rows held out of the fit.

    `strength` is the chosen one's place in `STRENGTHS`; `logits` (n, categories) and `confidence` (n,) are of the
    in-scope rows, `outlier_confidence` (m,) of the others. `signal` is the better of the two scores for abstention.
    """

    strength: int
    temperature: float
    logits: Vectors
    signal: Signal
    confidence: NDArray[np.float64]
    outlier_confidence: NDArray[np.float64]


def cross_validate(rows: Rows, seed: int, progress: Callable[[int, int], None] | None = None) -> HeldOut:
    """Fit on three quarters, predict the fourth, four times; every class needs a row in each fold."""
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415 - training only

    count = len(rows.labels)
    logits = np.zeros((len(STRENGTHS), count, int(rows.labels.max()) + 1), dtype=np.float32)
    typicality = np.zeros(count)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(rows.vectors, rows.labels)
    for done, (seen, held_out) in enumerate(folds, start=1):
        fitting, predicted = rows[seen], rows[held_out]
        prototypes = fitting.prototypes(seed)
        typicality[held_out] = prototypes.typicality(predicted.vectors)
        features = predicted.features(prototypes)
        for place, classifier in enumerate(fitting.fit(prototypes)):
            logits[place, held_out] = classifier.logits(features)
        if progress is not None:
            progress(done, FOLDS)
    return _choose(rows, logits, typicality)


def _choose(rows: Rows, logits: Vectors, typicality: NDArray[np.float64]) -> HeldOut:
    inside = rows.inside
    of_categories = logits[:, inside, : rows.categories]
    temperatures = [fit_temperature(of_strength, rows.labels[inside]) for of_strength in of_categories]
    losses = [log_loss(z, rows.labels[inside], t) for z, t in zip(of_categories, temperatures, strict=True)]
    best = int(np.argmin(losses))
    signal: Signal = "typicality"
    confidence = typicality
    if rows.has_outliers:
        margin = in_scope_margin(logits[best])
        if auroc(margin[inside], margin[~inside]) > auroc(typicality[inside], typicality[~inside]):
            signal, confidence = "margin", margin
    return HeldOut(best, temperatures[best], of_categories[best], signal, confidence[inside], confidence[~inside])
