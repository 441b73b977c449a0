from __future__ import annotations

import numpy as np
import pytest

from benchmarks.asking import Answer, Pass
from benchmarks.machine import Machine
from benchmarks.plan_quality import SINGLE, as_json, as_markdown, report

MACHINE = Machine("a processor", 2, 24.0, "3.11", {"coe": "0.1.0"}, 0.0)
DOMAINS = ["sums"] * 4 + ["verses"] * 4


def answers(calls: int, notes: int = 0) -> Pass:
    """Eight answers of so many calls each, the first `notes` of them not made as planned."""
    return Pass([Answer("x", "poet", None, 10 * calls, calls, ["left_out=poet"] * (n < notes)) for n in range(8)], 1.0)


def test_a_plan_stands_beside_the_routed_expert_alone_on_the_same_prompts() -> None:
    passes = {SINGLE: answers(1), "coe/vote": answers(6, notes=2)}
    right = {SINGLE: np.array([1, 0, 0, 0, 1, 1, 0, 0.0]), "coe/vote": np.array([1, 1, 0, 0, 1, 1, 1, 1.0])}
    single, vote = report(MACHINE, DOMAINS, passes, right).rows
    assert single.gain is None
    assert single.macro.mean == pytest.approx(37.5)
    assert vote.domains["sums"].mean == pytest.approx(50.0)
    assert vote.gain is not None
    assert vote.gain.mean == pytest.approx(37.5)
    assert 0.0 <= vote.gain.low < 37.5 < vote.gain.high
    assert (vote.calls, vote.tokens, vote.notes) == (6.0, 60.0, 2)


def test_the_table_has_a_row_for_each_plan_and_the_machine() -> None:
    found = report(MACHINE, DOMAINS, {SINGLE: answers(1)}, {SINGLE: np.zeros(8)})
    assert as_markdown(found).splitlines()[2].startswith("| coe | 0.0 | 0.0 | 0.0 [0.0, 0.0] |  | 1.00 | 10 | 0 |")
    assert "a processor, 2 cores" in as_markdown(found)
    assert '"prompts": {\n    "sums": 4' in as_json(found)
