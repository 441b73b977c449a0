"""From costs of plans to the published figures."""

from dataclasses import replace

import pytest

from benchmarks.aggregators_report import (
    FIRST_TOKEN,
    ONE_CALL,
    SEPARATE,
    TOGETHER,
    Cost,
    Measured,
    as_json,
    as_markdown,
    report,
)
from benchmarks.executor_overhead import PLANS, node_times
from benchmarks.machine import Machine

MACHINE = Machine("Some CPU", 2, 24.0, "3.11.7", {"coe": "0.1.0"}, 0.02)
MEASURED = Measured(
    {
        ONE_CALL: [Cost(2.0, 300, 448), Cost(4.0, 500, 448)],
        SEPARATE: [Cost(6.0, 600, 448), Cost(8.0, 900, 448)],
        TOGETHER: [Cost(2.0, 600, 448), Cost(5.0, 900, 448)],
    },
    {FIRST_TOKEN: [1.0, 3.0]},
)


def test_figures_are_medians_and_ratios_are_taken_prompt_by_prompt() -> None:
    found = report(MACHINE, 6, 64, MEASURED, {"moa": [1.0, 2.0, 3.0]})
    assert found.ways[ONE_CALL].slower == 1
    assert found.ways[SEPARATE].slower == 2.5
    assert (found.prompts, found.first_s, found.nodes["moa"].p50_ms) == (2, {FIRST_TOKEN: 2.0}, 2.0)
    assert [goal.holds for goal in found.goals] == [True, True]
    assert "| a client, samples one after another | 7.00 | 750 | 448 | 2.50 |" in as_markdown(found)
    assert '"slower": 2.5' in as_json(found)


def test_missed_targets_are_said() -> None:
    slow = replace(MEASURED, costs={**MEASURED.costs, SEPARATE: MEASURED.costs[ONE_CALL]})
    assert as_markdown(report(MACHINE, 6, 64, slow, {"moa": [6.0, 7.0]})).count("**missed**") == 2


@pytest.mark.parametrize("plan", PLANS)
async def test_a_node_can_be_timed_without_an_engine(plan: str) -> None:
    times = await node_times(plan, 3)
    assert len(times) == 3
    assert all(time > 0 for time in times)
