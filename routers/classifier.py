"""The category classifier: in come feature vectors, out come logits and calibrated probabilities.

Multinomial logistic regression on the encoder's vector and the hashed words. What inference needs are the
coefficients, the intercepts and a temperature that calibrates (Guo et al., arXiv 1706.04599). Where out-of-scope
prompts are known they are one more class, whose logit tells how far a prompt is from every category.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags, vstack

from routers.encoders.encoder import Vectors

# The inverse regularisation strengths that cross-validation chooses from, weakest fit first.
STRENGTHS = (4.0, 16.0)
# Held-out figures of both data sets that this was tried on stand still from about 50 steps on.
MAX_STEPS = 60
# A row of words counts for twice the encoder's vector: measured best on long exam questions and on short requests.
WORDS_WEIGHT = np.float32(2)


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Rows to classify: `dense` (n, dim) of the encoder, `words` (n, columns) of the lexicon."""

    dense: Vectors
    words: csr_matrix

    def __len__(self) -> int:
        return len(self.dense)

    def __getitem__(self, rows: NDArray[np.int64]) -> "Features":
        return Features(self.dense[rows], self.words[rows])

    def with_rows(self, other: "Features") -> "Features":
        """These rows, then those of `other`."""
        return Features(np.vstack([self.dense, other.dense]), csr_matrix(vstack([self.words, other.words])))

    def mixed(self, other: "Features", share: NDArray[np.float32]) -> "Features":
        """Row by row `share` (n,) of this and the rest of `other`."""
        rest = 1 - share
        words = diags(share) @ self.words + diags(rest) @ other.words
        return Features(share[:, None] * self.dense + rest[:, None] * other.dense, csr_matrix(words, dtype=np.float32))


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
        return self._logits(features.dense, features.words @ self.words)

    def logits_of_one(self, dense: Vectors, columns: NDArray[np.integer], weights: Vectors) -> Vectors:
        """(1, classes) of one row: `dense` (1, dim), and `weights` of its words at `columns`.

        The way of a request: making a sparse matrix takes longer than all products.
        """
        return self._logits(dense, weights @ self.words.take(columns, axis=0))

    def _logits(self, dense: Vectors, of_words: Vectors) -> Vectors:
        logits: Vectors = dense @ self.dense + WORDS_WEIGHT * of_words + self.intercept
        return logits

    def of_categories(self, logits: Vectors) -> Vectors:
        """The columns of `logits` (n, classes) that are categories."""
        return logits[:, :-1] if self.outlier_class else logits

    def probabilities(self, logits: Vectors) -> NDArray[np.float64]:
        """(n, categories), rows that sum to 1, from `logits` (n, classes)."""
        return softmax(self.of_categories(logits), self.temperature)


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
    features: Features, targets: Vectors, strengths: Sequence[float], *, outlier_class: bool
) -> list[LinearClassifier]:
    """One classifier for each of `strengths`, each started where the one before ended.

    `targets` (n, classes) float32: rows that sum to 1. Minimises, by L-BFGS, the mean cross-entropy plus
    |weights|^2 / (2 strength n). Categories are not reweighted: a rare one stays rare, as it is in the traffic.
    """
    objective = _Objective(features, targets)
    weights = np.zeros(objective.size)
    path: list[LinearClassifier] = []
    for strength in strengths:
        weights = objective.minimise(strength, weights)
        dense, words, intercept = objective.split(weights.astype(np.float32))
        path.append(LinearClassifier(dense, words, intercept, outlier_class=outlier_class))
    return path


class _Objective:
    """Loss and gradient of the regression. The dense and the sparse part stay apart: joined as one sparse matrix,
    as scikit-learn takes them, a fit takes some eight times as long.
    """

    def __init__(self, features: Features, targets: Vectors) -> None:
        self._dense = features.dense
        self._words = features.words * WORDS_WEIGHT
        # Transposed once: the gradient would transpose them at every step.
        self._dense_t = np.ascontiguousarray(features.dense.T)
        self._words_t = csr_matrix(self._words.T)
        self._targets = targets
        self._shape = (features.dense.shape[1], features.words.shape[1], targets.shape[1])

    @property
    def size(self) -> int:
        dim, columns, classes = self._shape
        return int((dim + columns + 1) * classes)

    def split(self, weights: Vectors) -> tuple[Vectors, Vectors, Vectors]:
        """The coefficients of the dense part and of the words, and the intercepts."""
        dim, columns, classes = self._shape
        dense, words, intercept = np.split(weights, [dim * classes, (dim + columns) * classes])
        return dense.reshape(dim, classes), words.reshape(columns, classes), intercept

    def minimise(self, strength: float, start: NDArray[np.float64]) -> NDArray[np.float64]:
        from scipy.optimize import minimize  # noqa: PLC0415 - training only

        found = minimize(
            self._loss,
            start,
            args=(np.float32(1 / (strength * len(self._dense))),),
            jac=True,
            method="L-BFGS-B",
            options={"maxiter": MAX_STEPS, "gtol": 3e-5, "ftol": 1e-7},
        )
        weights: NDArray[np.float64] = found.x
        return weights

    def _loss(self, weights: NDArray[np.float64], ridge: np.float32) -> tuple[float, NDArray[np.float64]]:
        flat = weights.astype(np.float32)
        dense, words, intercept = self.split(flat)
        logits = self._dense @ dense + self._words @ words + intercept
        logits -= logits.max(axis=1, keepdims=True)
        powers = np.exp(logits)
        sums = powers.sum(axis=1, keepdims=True)
        penalised = flat[: -len(intercept)]
        entropy = (np.log(sums[:, 0]) - (self._targets * logits).sum(axis=1)).mean(dtype=np.float64)
        residual = (powers / sums - self._targets) / np.float32(len(logits))
        gradient = np.concatenate(
            [
                (self._dense_t @ residual + ridge * dense).ravel(),
                (self._words_t @ residual + ridge * words).ravel(),
                residual.sum(axis=0),
            ]
        )
        return float(entropy + 0.5 * ridge * (penalised @ penalised)), gradient.astype(np.float64)


def one_hot(labels: NDArray[np.int64], classes: int) -> Vectors:
    """(n, classes) float32 targets of `labels` (n,)."""
    targets = np.zeros((len(labels), classes), dtype=np.float32)
    targets[np.arange(len(labels)), labels] = 1
    return targets


def fit_temperature(logits: Vectors, labels: NDArray[np.int64]) -> float:
    """The temperature in [0.25, 20] that makes held-out `labels` (n,) likeliest.

    Where few rows are all told apart, no temperature would be low enough: the bound keeps their confidence in check.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 - training only

    found = minimize_scalar(
        lambda log_t: log_loss(logits, labels, float(np.exp(log_t))),
        bounds=(np.log(0.25), np.log(20)),
        method="bounded",
    )
    return float(np.exp(found.x))
