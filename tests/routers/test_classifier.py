"""The classifier against scikit-learn's, and what it promises of probabilities."""

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from scipy.sparse import random as random_sparse
from sklearn.linear_model import LogisticRegression

from routers.classifier import (
    WORDS_WEIGHT,
    Features,
    LinearClassifier,
    fit_path,
    fit_temperature,
    log_loss,
    one_hot,
    softmax,
)

ROWS, DIM, COLUMNS, CLASSES = 240, 6, 40, 3


@pytest.fixture(scope="module")
def labels() -> NDArray[np.int64]:
    return np.random.default_rng(0).integers(0, CLASSES, ROWS)


@pytest.fixture(scope="module")
def features(labels: NDArray[np.int64]) -> Features:
    """The vectors tell the first class, the words the second."""
    rng = np.random.default_rng(1)
    dense = rng.normal(size=(ROWS, DIM)) + (labels == 0)[:, None]
    words = random_sparse(ROWS, COLUMNS, 0.2, rng=rng).toarray()
    words[labels == 1, 0] = 1
    return Features(dense.astype(np.float32), csr_matrix(words.astype(np.float32)))


@pytest.mark.parametrize("strength", [1.0, 16.0])
def test_a_fit_is_scikit_learns(features: Features, labels: NDArray[np.int64], strength: float) -> None:
    own = fit_path(features, one_hot(labels, CLASSES), [strength], outlier_class=False)[0]
    joined = csr_matrix(hstack([csr_matrix(features.dense), features.words * WORDS_WEIGHT]))
    its = LogisticRegression(C=strength, max_iter=2_000, tol=1e-8).fit(joined, labels)
    assert own.probabilities(own.logits(features)) == pytest.approx(its.predict_proba(joined), abs=0.02)
    assert pytest.approx(its.coef_[:, :DIM], abs=0.05 * float(np.abs(its.coef_).max())) == own.dense.T


def test_each_strength_of_a_path_is_fitted_as_on_its_own(features: Features, labels: NDArray[np.int64]) -> None:
    targets = one_hot(labels, CLASSES)
    path = fit_path(features, targets, [0.1, 1.0], outlier_class=False)
    alone = fit_path(features, targets, [1.0], outlier_class=False)[0]
    assert len(path) == 2
    assert np.abs(path[0].dense).max() < np.abs(path[1].dense).max()
    assert path[1].probabilities(path[1].logits(features)) == pytest.approx(
        alone.probabilities(alone.logits(features)), abs=0.02
    )


def test_soft_targets_are_probabilities_to_reach(features: Features) -> None:
    targets = np.tile(np.array([0.2, 0.5, 0.3], dtype=np.float32), (ROWS, 1))
    fitted = fit_path(features, targets, [1.0], outlier_class=False)[0]
    assert fitted.probabilities(fitted.logits(features)) == pytest.approx(targets, abs=0.01)


def test_a_row_by_itself_has_the_logits_that_it_has_among_others(features: Features, labels: NDArray[np.int64]) -> None:
    fitted = fit_path(features, one_hot(labels, CLASSES), [1.0], outlier_class=False)[0]
    for row in range(5):
        words = features.words[[row]]
        alone = fitted.logits_of_one(features.dense[[row]], words.indices, words.data)
        assert alone == pytest.approx(fitted.logits(features)[[row]], abs=1e-4)


def test_outliers_take_no_part_in_the_probabilities() -> None:
    classifier = LinearClassifier(
        np.zeros((2, 3), np.float32), np.zeros((4, 3), np.float32), np.zeros(3, np.float32), outlier_class=True
    )
    found = classifier.probabilities(np.array([[1.0, 1.0, 50.0]], dtype=np.float32))
    assert found.tolist() == [[0.5, 0.5]]


def test_probabilities_sum_to_one_at_any_temperature() -> None:
    logits = np.random.default_rng(0).normal(0, 300, (50, 7)).astype(np.float32)
    for temperature in (0.05, 1.0, 20.0):
        assert softmax(logits, temperature).sum(axis=1) == pytest.approx(np.ones(50))


@pytest.mark.parametrize("true", [0.5, 1.0, 4.0])
def test_the_temperature_that_drew_the_labels_is_found(true: float) -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (4_000, 4)).astype(np.float32)
    labels = np.array([rng.choice(4, p=row) for row in softmax(logits, true)])
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(true, rel=0.1)
    assert log_loss(logits, labels, found) <= log_loss(logits, labels, true)


def test_mixed_rows_lie_between_the_two(features: Features) -> None:
    first, second = features[np.array([0, 1])], features[np.array([2, 3])]
    mixed = first.mixed(second, np.array([1.0, 0.25], dtype=np.float32))
    assert mixed.dense[0] == pytest.approx(first.dense[0])
    assert mixed.dense[1] == pytest.approx(0.25 * first.dense[1] + 0.75 * second.dense[1])
    expected = 0.25 * first.words[1].toarray() + 0.75 * second.words[1].toarray()
    assert mixed.words[1].toarray() == pytest.approx(expected)
    both = first.with_rows(second)
    assert len(both) == 4
    assert both.words[3].toarray() == pytest.approx(second.words[1].toarray())
