"""The category classifier: in come feature vectors, out come calibrated probabilities.

Multinomial logistic regression. scikit-learn fits it; what is kept, and all that inference needs, are the
coefficients, the intercepts and a temperature that calibrates (Guo et al., arXiv 1706.04599).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.encoders import Vectors

# The inverse regularisation strengths that cross-validation chooses from, weakest fit first.
STRENGTHS = (1.0, 4.0, 16.0)
MAX_ITERATIONS = 3_000
# At scikit-learn's own 1e-4 a warm start stops at once, and the later strengths would be fitted in name only.
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class LinearClassifier:
    """`coef` (categories, features) float32, `intercept` (categories,) float32, `temperature` above 0."""

    coef: Vectors
    intercept: Vectors
    temperature: float = 1.0

    def logits(self, features: Vectors) -> Vectors:
        """(n, categories), before the temperature."""
        return features @ self.coef.T + self.intercept

    def probabilities(self, features: Vectors) -> NDArray[np.float64]:
        """(n, categories), rows that sum to 1."""
        return softmax(self.logits(features), self.temperature)


def softmax(logits: Vectors, temperature: float = 1.0) -> NDArray[np.float64]:
    """Rows of `logits` (n, categories) over `temperature`, as probabilities."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def log_loss(logits: Vectors, labels: NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood of `labels` (n,), in nats."""
    chosen = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def fit_path(
    features: Vectors, labels: NDArray[np.int64], strengths: Sequence[float] = STRENGTHS
) -> list[LinearClassifier]:
    """One classifier for each of `strengths`, each started where the one before ended.

    `labels` (n,) hold every number from 0 to categories - 1. Categories are not reweighted: a rare one stays rare,
    as it is in the traffic.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - training only

    model = LogisticRegression(max_iter=MAX_ITERATIONS, tol=TOLERANCE, warm_start=True)
    path: list[LinearClassifier] = []
    for strength in strengths:
        model.set_params(C=strength).fit(features, labels)
        coef, intercept = model.coef_, model.intercept_
        if len(coef) == 1:  # two categories: scikit-learn keeps the difference of the two only
            coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
        path.append(LinearClassifier(coef.astype(np.float32), intercept.astype(np.float32)))
    return path


def fit_temperature(logits: Vectors, labels: NDArray[np.int64]) -> float:
    """The temperature in [0.05, 20] that makes held-out `labels` (n,) likeliest."""
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - training only

    found = minimize_scalar(
        lambda log_t: log_loss(logits, labels, float(np.exp(log_t))),
        bounds=(np.log(0.05), np.log(20)),
        method="bounded",
    )
    return float(np.exp(found.x))
