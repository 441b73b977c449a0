"""What a plan is going to ask: the plan in, its experts with the probability of a call out.

Cascades are judged as if experts were right independently, at their measured scores, and only right answers agreed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, prod
from typing import assert_never

from coe.plan.plans import Aggregated, ByJudge, Cascade, Member, Moa, Selection, SequentialMoa


def call_probabilities(plan: Aggregated) -> dict[str, float]:
    """Of the plan's experts: that it is asked at least once; without those of whom that is not known."""
    match plan:
        case Moa():
            return _certain(*plan.proposers, plan.aggregator)
        case SequentialMoa():
            return _certain(plan.proposer, plan.aggregator)
        case Selection():
            return _certain(*plan.proposers, *((plan.contrast,) if plan.contrast else ()))
        case Cascade():
            judge = (plan.agreement.judge,) if isinstance(plan.agreement, ByJudge) else ()
            certain = _certain(*plan.members[:2], *judge)
            further = zip(plan.members[2:], (answer_probabilities(plan) or ())[2:], strict=False)
            return certain | {member.expert: p for member, p in further if member.expert not in certain}
        case _:
            assert_never(plan)


def answer_probabilities(plan: Cascade) -> list[float] | None:
    """Of each member, that its answer is asked for; None where some were not measured, or a judge compares them."""
    measured = all(member.expert in plan.log_odds for member in plan.members)
    if isinstance(plan.agreement, ByJudge) or not measured:
        return None
    scores = [1 / (1 + exp(-plan.log_odds[member.expert])) for member in plan.members]
    return [1.0 if place < 2 else _at_most_one(scores[:place]) for place in range(len(scores))]


def _certain(*members: Member) -> dict[str, float]:
    return dict.fromkeys((member.expert for member in members), 1.0)


def _at_most_one(scores: Sequence[float]) -> float:
    """The probability that at most one of the experts is right."""
    none = prod(1 - score for score in scores)
    one = sum(
        score * prod(1 - other for place, other in enumerate(scores) if place != own)
        for own, score in enumerate(scores)
    )
    return none + one
