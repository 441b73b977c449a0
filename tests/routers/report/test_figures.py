import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from routers.report.document import ReportDocument
from routers.report.figures import wilson


@given(st.integers(1, 5_000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_of_a_share_is_scipys(counts: tuple[int, int]) -> None:
    hits, n = counts
    expected = binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-4)


def test_calibration_bins_hold_every_prompt_and_average_to_the_accuracy(trained: ReportDocument) -> None:
    found = trained.classification
    assert sum(one.share for one in found.calibration) == pytest.approx(1)
    assert sum(one.share * one.accuracy for one in found.calibration) == pytest.approx(found.accuracy)
    distances = [one.share * abs(one.confidence - one.accuracy) for one in found.calibration]
    assert found.calibration_error == pytest.approx(sum(distances))


def test_accuracy_is_the_diagonal_of_the_confusion_matrix(trained: ReportDocument) -> None:
    confusion = trained.classification.confusion
    right = sum(confusion[i][i] for i in range(len(confusion)))
    assert trained.classification.accuracy == pytest.approx(right / sum(map(sum, confusion)))
