"""Each signal falls as a prompt belongs less to any category."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import logsumexp

from routers.abstention import candidates
from routers.signals import ALONE, Signal, measure

EVERY: tuple[Signal, ...] = (*ALONE, "margin")
# Sure of the first category, less sure, torn between two, of none, and taken for an outlier by the last class.
LOGITS = np.array([[9, 0, 0, -5], [5, 0, 0, -2], [3, 3, 0, 0], [0, 0, 0, 2], [-4, -4, -4, 9]], dtype=np.float32)
DISTANCES = np.array([0.1, 0.3, 0.6, 1.2, 1.9])


def test_every_signal_is_high_at_home_and_low_abroad() -> None:
    found = measure(EVERY, LOGITS, DISTANCES, 3)
    assert found.shape == (5, len(EVERY))
    for column, name in enumerate(EVERY):
        assert all(before >= after for before, after in pairwise(found[:, column])), name
        assert found[0, column] > found[4, column], name


def test_figures_by_hand() -> None:
    logits = np.log(np.array([[4.0, 2.0, 2.0, 0.5]])).astype(np.float32)
    found = measure(EVERY, logits, np.array([0.7]), 3)[0]
    shares = np.array([0.5, 0.25, 0.25])
    assert found == pytest.approx([0.0, (shares * np.log(shares)).sum(), np.log(8), -0.7, np.log(16)], abs=1e-6)


def test_the_class_of_outliers_counts_in_the_margin_only() -> None:
    without = measure(ALONE, LOGITS[:, :3], DISTANCES, 3)
    assert np.array_equal(measure(ALONE, LOGITS, DISTANCES, 3), without)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=2, max_size=6))
def test_any_logits_give_finite_signals(row: list[float]) -> None:
    logits = np.array([row], dtype=np.float32)
    found = measure(EVERY, logits, np.zeros(1), len(row) - 1)
    assert np.isfinite(found).all()
    assert found[0, EVERY.index("energy")] == pytest.approx(logsumexp(logits[0, :-1].astype(np.float64)), abs=1e-3)


def test_every_candidate_can_be_measured() -> None:
    for signals in candidates(outlier_class=True):
        assert measure(signals, LOGITS, DISTANCES, 3).shape == (5, len(signals))
