"""The category classifier: in come feature vectors, out come calibrated probabilities.

Multinomial logistic regression. scikit-learn fits it; what is kept, and all that inference needs, are the
coefficients, the intercepts and a temperature that calibrates (Guo et al., arXiv 1706.04599). Where out-of-scope
prompts are known they are one more class, whose logit tells how far a prompt is from every category.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack

from routers.encoders.encoder import Vectors

# The inverse regularisation strengths that cross-validation chooses from, weakest fit first.
STRENGTHS = (1.0, 4.0, 16.0)
MAX_ITERATIONS = 1_000
# At scikit-learn's own 1e-4 a warm start stops at once, and the later strengths would be fitted in name only.
TOLERANCE = 1e-5


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Rows to classify: `dense` (n, dim) of the encoder's space, `words` (n, columns) of the lexicon."""

    dense: Vectors
    words: csr_matrix

    def __getitem__(self, rows: NDArray[np.int64]) -> "Features":
        return Features(self.dense[rows], self.words[rows])

    def joined(self) -> csr_matrix:
        """(n, dim + columns), as scikit-learn takes them."""
        return csr_matrix(hstack([csr_matrix(self.dense), self.words]))


@dataclass(frozen=True, slots=True, eq=False)
class LinearClassifier:
    """`dense` (dim, classes), `words` (columns, classes), `intercept` (classes,), all float32; `temperature` above 0.

    `outlier_class`: the last class is `out of scope`; it takes no part in the probabilities.
    """

    dense: Vectors
    words: Vectors
    intercept: Vectors
    temperature: float = 1.0
    outlier_class: bool = False

    def logits(self, features: Features) -> Vectors:
        """(n, classes), before the temperature."""
        words = features.words
        if words.shape[0] == 1:  # the way of a request: a tenth of the time of the general product
            of_words: Vectors = words.data @ self.words[words.indices]
        else:
            of_words = words @ self.words
        logits: Vectors = features.dense @ self.dense + of_words + self.intercept
        return logits

    def probabilities(self, logits: Vectors) -> NDArray[np.float64]:
        """(n, categories), rows that sum to 1, from `logits`."""
        return softmax(self.of_categories(logits), self.temperature)

    def of_categories(self, logits: Vectors) -> Vectors:
        return logits[:, :-1] if self.outlier_class else logits


def softmax(logits: Vectors, temperature: float = 1.0) -> NDArray[np.float64]:
    """Rows of `logits` (n, categories) over `temperature`, as probabilities."""
    scaled = logits.astype(np.float64) / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    probabilities: NDArray[np.float64] = powers / powers.sum(axis=1, keepdims=True)
    return probabilities


def in_scope_margin(logits: Vectors) -> NDArray[np.float64]:
    """(n,): log-odds that a row belongs to any category and not to the last class, out of scope."""
    inside = logits[:, :-1].astype(np.float64)
    highest = inside.max(axis=1)
    evidence = highest + np.log(np.exp(inside - highest[:, None]).sum(axis=1))
    margin: NDArray[np.float64] = evidence - logits[:, -1]
    return margin


def log_loss(logits: Vectors, labels: NDArray[np.int64], temperature: float) -> float:
    """Mean negative log-likelihood of `labels` (n,), in nats."""
    chosen = softmax(logits, temperature)[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(chosen, 1e-12)).mean())


def fit_path(
    features: Features, labels: NDArray[np.int64], strengths: Sequence[float], *, outlier_class: bool
) -> list[LinearClassifier]:
    """One classifier for each of `strengths`, each started where the one before ended.

    `labels` (n,) hold every number from 0 to classes - 1. Categories are not reweighted: a rare one stays rare,
    as it is in the traffic.
    """
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - training only

    model = LogisticRegression(max_iter=MAX_ITERATIONS, tol=TOLERANCE, warm_start=True)
    joined = features.joined()
    path: list[LinearClassifier] = []
    for strength in strengths:
        model.set_params(C=strength).fit(joined, labels)
        coef, intercept = model.coef_, model.intercept_
        if len(coef) == 1:  # two categories: scikit-learn keeps the difference of the two only
            coef, intercept = np.vstack([np.zeros_like(coef), coef]), np.concatenate([[0.0], intercept])
        weights = np.ascontiguousarray(coef.T, dtype=np.float32)
        dim = features.dense.shape[1]
        path.append(
            LinearClassifier(weights[:dim], weights[dim:], intercept.astype(np.float32), outlier_class=outlier_class)
        )
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
