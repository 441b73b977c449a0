"""Folds keep what says the same together, and every class everywhere."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from routers import folds
from routers.encoders.encoder import Vectors
from routers.folds import assign_folds


def unit(vectors: NDArray[np.float64]) -> Vectors:
    scaled: Vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return scaled


def random_vectors(rows: int, seed: int = 0) -> Vectors:
    return unit(np.random.default_rng(seed).normal(size=(rows, 16)))


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(4, 30), min_size=1, max_size=5), st.integers(2, 4), st.integers(0, 9))
def test_every_class_is_in_every_fold_evenly(sizes: list[int], count: int, seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    fold = assign_folds(random_vectors(len(labels), seed), labels, count, seed)
    assert set(fold) <= set(range(count))
    for label, size in enumerate(sizes):
        rows = np.bincount(fold[labels == label], minlength=count)
        assert rows.min() >= size // count
        assert rows.max() <= -(-size // count)


def test_near_repeats_share_a_fold() -> None:
    rng = np.random.default_rng(0)
    originals = random_vectors(60)
    repeats = unit(np.repeat(originals, 4, axis=0) + 0.02 * rng.normal(size=(240, 16)))
    fold = assign_folds(repeats, np.zeros(240, dtype=np.int64), 4, 0).reshape(60, 4)
    torn = (fold != fold[:, :1]).any(axis=1)
    assert torn.sum() <= 3  # at each of the three cuts one group at most


def test_what_all_vectors_have_in_common_makes_no_repeats() -> None:
    narrow = unit(5 + np.random.default_rng(0).normal(size=(200, 16)))
    assert (narrow @ narrow.T).min() > 0.8
    groups = folds._groups(folds._centred(narrow))
    assert len(np.unique(groups)) > 190


def test_the_same_seed_gives_the_same_folds_and_another_one_others() -> None:
    vectors, labels = random_vectors(100), np.repeat([0, 1], 50)
    first, again, other = (assign_folds(vectors, labels, 4, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("dim", [0, 16])
def test_classes_too_large_to_compare_and_rows_without_a_vector_are_spread(
    dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folds, "MOST_COMPARED", 10)
    vectors = random_vectors(40)[:, :dim]
    fold = assign_folds(vectors, np.zeros(40, dtype=np.int64), 4, 0)
    assert np.bincount(fold).tolist() == [10, 10, 10, 10]
    assert len(set(fold[:10])) > 1


def test_no_rows_have_no_fold() -> None:
    assert assign_folds(random_vectors(0), np.zeros(0, dtype=np.int64), 4, 0).tolist() == []
