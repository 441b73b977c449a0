import pytest

from routers.report.document import ReportDocument
from tests.routers.report.documents import LATENCY, written


def test_json_gives_the_same_document_back(trained: ReportDocument, without_outcomes: ReportDocument) -> None:
    for document in (trained, without_outcomes, written(objection="no evidence")):
        assert ReportDocument.from_json(document.to_json()) == document


def test_the_keys_are_those_that_programs_read(trained: ReportDocument) -> None:
    keys = trained.model_dump(mode="json")
    assert set(keys) == {
        "format",
        "version",
        "objection",
        "forced",
        "trained_on",
        "data",
        "categories",
        "general",
        "classification",
        "out_of_scope",
        "outcomes",
        "latency_ms",
        "refreshed",
    }
    assert set(keys["categories"][0]) == {"name", "prompts", "recall", "expert", "gain", "p_value"}
    assert set(keys["outcomes"]) == {
        "rows",
        "compared",
        "default",
        "evidence",
        "chosen",
        "best_single",
        "co_failure",
        "policies",
        "frontier",
    }
    assert set(keys["outcomes"]["policies"][0]) == {"name", "score", "active_params_b", "gain"}
    assert set(keys["outcomes"]["frontier"][0]) == {"budget", "score", "active_params_b", "best_single", "gain"}
    assert set(keys["outcomes"]["policies"][0]["gain"]) == {"mean", "ci95", "p_value"}
    assert keys["latency_ms"] == {"p50": LATENCY.p50, "p99": LATENCY.p99}


def test_another_programs_json_is_refused() -> None:
    with pytest.raises(ValueError, match="coe-router-report"):
        ReportDocument.from_json(written().to_json().replace("coe-router-report", "another"))


def test_a_category_has_the_evidence_for_its_expert(trained: ReportDocument) -> None:
    found = {entry.name: entry for entry in trained.categories}
    law, cooking = found["law"], found["cooking"]
    assert (law.expert, cooking.expert) == ("jurist", "generalist")
    assert law.gain == pytest.approx(0.45, abs=0.15)
    assert law.p_value is not None
    assert law.p_value < 0.001
    assert (cooking.gain, cooking.p_value) == (None, None)
    assert trained.outcomes is not None
    assert trained.outcomes.default == "generalist"


def test_recall_is_read_off_the_confusion_matrix(trained: ReportDocument) -> None:
    confusion = trained.classification.confusion
    assert [sum(row) for row in confusion] == [entry.prompts for entry in trained.categories]
    for i, entry in enumerate(trained.categories):
        assert entry.recall == confusion[i][i] / sum(confusion[i])


def test_each_budget_has_the_best_single_expert_within_it(trained: ReportDocument) -> None:
    outcomes = trained.outcomes
    assert outcomes is not None
    small, large = outcomes.frontier
    # Within 7 B there is the jurist alone; within 8 B the generalist is the better one.
    assert small.best_single == pytest.approx(small.score)
    best = outcomes.policy("best single")
    assert best is not None
    assert large.best_single == pytest.approx(best.score)


def test_without_outcomes_what_needs_them_is_null(without_outcomes: ReportDocument) -> None:
    assert (without_outcomes.outcomes, without_outcomes.general) == (None, None)
    assert {(entry.expert, entry.gain, entry.p_value) for entry in without_outcomes.categories} == {(None, None, None)}
