"""Cross-validation: in come vectors and labels, out come predictions for every row by a model that did not see it.

From these the classifier's strength and temperature are chosen and abstention is calibrated.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.classifier import STRENGTHS, fit_path, fit_temperature, log_loss
from routers.encoders import Vectors
from routers.prototypes import fit_prototypes

FOLDS = 4


@dataclass(frozen=True, slots=True, eq=False)
class HeldOut:
    """`logits` (n, categories) of the strength chosen and `typicality` (n,), of rows held out of their fit.

    `strength` is the chosen one's place in `STRENGTHS`; `outlier_typicality` (m,) is the folds' mean.
    """

    strength: int
    temperature: float
    logits: Vectors
    typicality: NDArray[np.float64]
    outlier_typicality: NDArray[np.float64]


def cross_validate(
    vectors: Vectors,
    labels: NDArray[np.int64],
    outliers: Vectors,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> HeldOut:
    """Fit on three quarters, predict the fourth, four times; every label needs a row in each fold.

    `vectors` (n, dim) with `labels` (n,) from 0; `outliers` (m, dim) are out of scope and only measured.
    """
    from sklearn.model_selection import StratifiedKFold  # noqa: PLC0415 - training only

    logits = np.zeros((len(STRENGTHS), len(labels), int(labels.max()) + 1), dtype=np.float32)
    typicality = np.zeros(len(labels))
    outlier_typicality = np.zeros(len(outliers))
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(vectors, labels)
    for done, (seen, held_out) in enumerate(folds, start=1):
        prototypes = fit_prototypes(vectors[seen], labels[seen], seed)
        typicality[held_out] = prototypes.typicality(vectors[held_out])
        if len(outliers):
            outlier_typicality += prototypes.typicality(outliers) / FOLDS
        features = prototypes.features(vectors[held_out])
        for place, classifier in enumerate(fit_path(prototypes.features(vectors[seen]), labels[seen])):
            logits[place, held_out] = classifier.logits(features)
        if progress is not None:
            progress(done, FOLDS)
    temperatures = [fit_temperature(of_strength, labels) for of_strength in logits]
    losses = [log_loss(z, labels, t) for z, t in zip(logits, temperatures, strict=True)]
    best = int(np.argmin(losses))
    return HeldOut(best, temperatures[best], logits[best], typicality, outlier_typicality)
