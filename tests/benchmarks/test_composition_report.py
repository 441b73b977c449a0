import numpy as np
import orjson
import pytest

from benchmarks.composition_report import COE, ORACLE, TRUE_CATEGORY, Measured, Report, as_json, as_markdown, report
from benchmarks.machine import Machine

MACHINE = Machine(cpu="a processor", cores=2, memory_gib=8.0, python="3.11", versions={}, busy_before=0.0)
DOMAINS = ["sums"] * 60 + ["verbs"] * 30


def right(sums: float, verbs: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Shares of right answers, spread over the rows."""
    return np.concatenate([np.arange(60) < 60 * sums, np.arange(30) < 30 * verbs]).astype(np.float64)


def measured(coe: tuple[float, float]) -> Report:
    policies = {
        COE: Measured(right(*coe), 1.0, 50.0),
        "adder": Measured(right(1.0, 0.0), 1.0, 50.0),
        "speaker": Measured(right(0.5, 0.8), 1.0, 50.0),
        TRUE_CATEGORY: Measured(right(1.0, 0.8), 1.0, None),
        ORACLE: Measured(right(1.0, 0.8), None, None),
    }
    return report(MACHINE, DOMAINS, policies, right(1.0, 0.5))


def test_domains_weigh_alike_in_the_macro_average_however_many_prompts_they_have() -> None:
    rows = {row.policy: row for row in measured((1.0, 0.5)).rows}
    assert rows[COE].macro.mean == pytest.approx(75)
    assert rows[COE].domains["verbs"].mean == pytest.approx(50)
    assert rows["adder"].macro.mean == pytest.approx(50)


def test_intervals_hold_the_mean_and_are_narrower_with_more_prompts() -> None:
    (row, *_) = measured((0.5, 0.5)).rows
    sums, verbs = row.domains["sums"], row.domains["verbs"]
    assert sums.low < sums.mean < sums.high
    assert sums.high - sums.low < verbs.high - verbs.low


def test_all_right_is_no_certainty() -> None:
    (row, *_) = measured((1.0, 0.0)).rows
    assert row.domains["sums"].low == pytest.approx(94.0, abs=0.1)
    assert row.domains["sums"].high == pytest.approx(100)
    assert row.domains["verbs"].high == pytest.approx(11.4, abs=0.1)


def test_the_gain_is_over_the_best_single_expert_and_paired() -> None:
    found = measured((1.0, 0.8))
    assert found.best_single == "speaker"
    assert found.gain.mean == pytest.approx(25)
    assert found.loss_to_true_category.mean == found.loss_to_true_category.high == pytest.approx(0)
    assert [goal.holds for goal in found.goals] == [True, True]


def test_a_missed_target_is_told() -> None:
    found = measured((0.6, 0.7))
    assert [goal.holds for goal in found.goals] == [False, False]
    assert as_markdown(found).count("MISSED") == 2


def test_routing_accuracy_is_told_by_domain() -> None:
    found = measured((1.0, 0.8))
    assert found.routing_accuracy == {"sums": 1.0, "verbs": 0.5}
    assert "Routing accuracy 0.750: sums 1.000, verbs 0.500." in as_markdown(found)
    assert orjson.loads(as_json(found))["prompts"] == {"sums": 60, "verbs": 30}
