from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from routers.encoders.static import StaticEncoder
from routers.prompts import LabelledPrompt
from routers.report.document import ReportDocument
from routers.report.figures import wilson
from routers.training import MapSettings, train
from tests.routers.report.documents import SIZES, skilled


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


def test_every_stage_tells_how_far_it_is_until_it_is_done(
    word_encoder: StaticEncoder, make_prompts: Callable[..., list[LabelledPrompt]]
) -> None:
    told: dict[str, list[tuple[int, int]]] = {}
    train(
        make_prompts(30, outcomes=skilled),
        word_encoder,
        mapping=MapSettings(SIZES, frontier=(1, 7, 8)),  # nothing fits 1 B
        progress=lambda stage, done, total: told.setdefault(stage, []).append((done, total)),
    )
    assert list(told) == ["encode", "cross-validate", "compare policies", "frontier"]
    assert told["frontier"] == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert [steps[-1][0] == steps[-1][1] for steps in told.values()] == [True] * 4
