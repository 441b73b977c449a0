"""From classifications to the published figures, and what few prompts are drawn."""

from dataclasses import replace

import pytest

from benchmarks.machine import Machine
from benchmarks.robustness import draw
from benchmarks.robustness_report import SmallData, as_json, as_markdown, report, stability
from routers.prompts import LabelledPrompt
from routers.router import Classification

MACHINE = Machine("Some CPU", 2, 24.0, "3.11.7", {"coe": "0.1.0"}, 0.02)
LAW = Classification("law", 0.9, abstained=False, in_scope=0.5, probabilities={"law": 0.9, "art": 0.1}, expert="a")
ART = replace(LAW, category="art", expert="b")
GENERAL = replace(LAW, category="general", abstained=True)
SMALL = SmallData(5, 3, 100, 0.5, (0.4, 0.6), 0.45, 0.55, 0.7, (0.5, 0.85), 0.06)


def test_a_category_stays_or_changes_and_abstention_is_told_apart() -> None:
    found = stability("typos", [LAW, LAW, LAW, GENERAL], [LAW, ART, GENERAL, GENERAL])
    assert (found.n, found.stays, found.by_abstention, found.expert_stays) == (4, 0.5, 0.25, 0.75)
    assert found.ci95[0] < 0.5 < found.ci95[1]


def test_a_router_without_a_map_has_no_expert_to_keep() -> None:
    bare = replace(LAW, expert=None)
    found = stability("typos", [bare], [bare])
    assert found.expert_stays is None
    assert "| typos | 1 | 100.0% |" in as_markdown(report(MACHINE, [found], [SMALL]))


def test_perturbations_count_by_the_prompts_that_they_changed_and_missed_targets_are_said() -> None:
    found = report(MACHINE, [stability("please", [LAW] * 3, [LAW] * 3), stability("typos", [LAW], [ART])], [SMALL])
    assert (found.overall.n, found.overall.stays, found.overall.expert_stays) == (4, 0.75, 0.75)
    assert [goal.holds for goal in found.goals] == [False, True, False]
    assert as_markdown(found).count("**missed**") == 2
    assert "| 5 | 50.0% | 40.0% to 60.0% | 45.0% to 55.0% | 70.0% | 50.0% to 85.0% | 6.0% |" in as_markdown(found)
    assert '"by_abstention"' in as_json(found)


@pytest.mark.parametrize("count", [2, 3, 50])
def test_a_draw_has_that_many_different_prompts_of_each_category(count: int) -> None:
    rows = [
        LabelledPrompt(f"{c} {i % 4}", c, labelled=True, outcomes={"a": 1.0}) for c in ("law", None) for i in range(8)
    ]
    drawn = draw([*rows, LabelledPrompt("unlabelled")], count, seed=1)
    assert sorted({row.text for row in drawn}) == sorted(row.text for row in drawn)
    assert len(drawn) == 2 * min(count, 4)
    assert not any(row.outcomes for row in drawn)
    assert drawn == draw(rows, count, seed=1)
