from typing import Any

import pytest

from coe.plan.foresight import answer_probabilities, call_probabilities
from coe.plan.plans import (
    Aggregated,
    ByAnswer,
    ByJudge,
    Cascade,
    Member,
    Moa,
    Selection,
    SequentialMoa,
    Terms,
)

TERMS = Terms(max_calls=9, max_tokens=900, max_seconds=9)
EVEN = {"a": 0.0, "b": 0.0, "c": 0.0}  # log odds of a coin


def member(name: str) -> Member:
    return Member(expert=name, model=name, max_tokens=10)


def cascade(**fields: Any) -> Cascade:
    given = {"agreement": ByAnswer(), "log_odds": EVEN, **fields}
    return Cascade(label="cascade", members=(member("a"), member("b"), member("c")), terms=TERMS, **given)


@pytest.mark.parametrize(
    ("plan", "experts"),
    [
        (Moa(label="", proposers=(member("a"), member("b")), aggregator=member("c"), prompt="", terms=TERMS), "abc"),
        (SequentialMoa(label="", proposer=member("a"), aggregator=member("b"), prompt="", terms=TERMS), "ab"),
        (Selection(label="", proposers=(member("a"),), by="likelihood", terms=TERMS, contrast=member("b")), "ab"),
    ],
)
def test_what_a_plan_asks_in_any_case_is_certain(plan: Aggregated, experts: str) -> None:
    assert call_probabilities(plan) == dict.fromkeys(experts, 1.0)


def test_a_cascade_asks_a_third_where_at_most_one_of_two_is_right() -> None:
    assert answer_probabilities(cascade()) == [1.0, 1.0, 0.75]
    assert call_probabilities(cascade()) == {"a": 1.0, "b": 1.0, "c": 0.75}
    sure = cascade(log_odds={"a": 10.0, "b": 10.0, "c": 0.0})
    assert call_probabilities(sure)["c"] < 0.001


def test_of_experts_that_were_not_measured_only_the_first_two_calls_are_known() -> None:
    assert call_probabilities(cascade(log_odds={"a": 0.0})) == {"a": 1.0, "b": 1.0}


def test_a_judge_is_asked_in_any_case() -> None:
    judged = cascade(agreement=ByJudge(member("j"), "$question $first $second"))
    assert call_probabilities(judged) == {"a": 1.0, "b": 1.0, "j": 1.0}
