from typing import Any

import numpy as np
import pytest

from coe.config.models import OWN_PLANS, PlanConfig
from coe.errors import InvalidRequestError
from coe.plan.building import ExpertFacts, Found, PlanPrompts
from coe.plan.options import PlanOptions
from coe.plan.planner import Planner
from coe.plan.plans import ByEmbedding, ByJudge, Cascade, Moa, Plan, Selection, SequentialMoa, Single
from routers.mapping.strengths import Strengths

EXPERTS = {
    "poet": ExpertFacts("small", max_tokens=256, context=2048),
    "clerk": ExpertFacts("small", context=2048),
    "sage": ExpertFacts("large"),
    "fool": ExpertFacts("large"),
}
LOG_ODDS = {"clerk": -0.8, "poet": 0.0, "sage": -0.4, "stranger": 2.0}
ALIKE = np.array([[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.9, 0.0], [0.0, 0.9, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]])
"""The poet and the sage err together."""
STRENGTHS = Strengths(("verse",), tuple(LOG_ODDS), np.array([list(LOG_ODDS.values()), [0.0] * 4]), ALIKE)
ROUTED = Found("poet", "verse", "clerk", {"verse": 1.0}, STRENGTHS)


def planner(by_category: dict[str, str] | None = None, **plans: PlanConfig) -> Planner:
    prompts = PlanPrompts("$proposals", "$question $first $second")
    known = {name.replace("_", "-"): (plan, prompts) for name, plan in {**OWN_PLANS, **plans}.items()}
    return Planner(known, by_category or {}, EXPERTS)


def plan(name: str | None = None, found: Found = ROUTED, **options: Any) -> Plan:
    return planner().plan(found, PlanOptions(plan=name, **options))


def test_without_a_plan_one_expert_answers() -> None:
    assert plan() == Single("poet", "clerk")
    assert plan("single") == Single("poet", "clerk")


def test_self_moa_samples_and_merges_with_the_routed_expert() -> None:
    found = plan("self-moa")
    assert isinstance(found, Moa)
    (proposer,) = found.proposers
    assert (proposer.expert, proposer.n, proposer.fallback) == ("poet", 6, "clerk")
    assert (found.aggregator.expert, found.label, found.calls) == ("poet", "self-moa", 7)
    assert (found.terms.temperature, proposer.max_tokens, proposer.context) == (0.7, 256, 2048)


def test_moa_takes_the_routed_expert_and_those_that_score_best_in_the_category() -> None:
    found = plan("moa")
    assert isinstance(found, Moa)
    assert [member.expert for member in found.proposers] == ["poet", "fool", "sage", "clerk"]
    assert [member.fallback for member in found.proposers] == ["clerk", None, None, None]
    assert (found.aggregator.expert, found.calls) == ("poet", 5)


def test_a_cascade_asks_three_at_most_in_the_order_of_what_their_votes_add() -> None:
    found = plan("cascade")
    assert isinstance(found, Cascade)
    assert [member.expert for member in found.members] == ["poet", "clerk", "sage"]
    assert found.log_odds == {name: odds for name, odds in LOG_ODDS.items() if name in EXPERTS}
    assert found.terms.temperature == 0


def test_where_nothing_was_learned_of_experts_the_routed_one_goes_first() -> None:
    found = plan("cascade", Found("sage", "verse", "clerk"))
    assert isinstance(found, Cascade)
    assert [member.expert for member in found.members] == ["sage", "poet", "clerk"]
    assert found.log_odds == {}


def test_a_request_sets_samples_proposers_and_aggregator() -> None:
    found = plan("moa", n=2, proposers=("sage", "fool"), aggregator="clerk")
    assert isinstance(found, Moa)
    assert [(member.expert, member.n) for member in found.proposers] == [("sage", 2), ("fool", 2)]
    assert (found.aggregator.expert, found.calls) == ("clerk", 5)


def test_a_named_expert_can_have_a_plan_too() -> None:
    found = plan("self-moa-seq", Found("sage"), n=7)
    assert isinstance(found, SequentialMoa)
    assert (found.proposer.expert, found.proposer.fallback, found.calls) == ("sage", None, 7 + 2)


def test_what_a_configuration_says_of_a_plan_holds() -> None:
    near = PlanConfig(kind="cascade", agreement="embedding", distance=0.2, n=2, temperature=0.4)
    judged = PlanConfig(kind="cascade", agreement="judge", judge="sage")
    sharp = PlanConfig(kind="best-of-n", contrast="clerk", n=4)
    known = planner(near=near, judged=judged, sharp=sharp)
    by_distance = known.plan(ROUTED, PlanOptions(plan="near"))
    assert isinstance(by_distance, Cascade)
    assert (by_distance.agreement, len(by_distance.members), by_distance.terms.temperature) == (
        ByEmbedding(0.2),
        2,
        0.4,
    )
    by_judge = known.plan(ROUTED, PlanOptions(plan="judged"))
    assert isinstance(by_judge, Cascade)
    assert isinstance(by_judge.agreement, ByJudge)
    assert (by_judge.agreement.judge.expert, by_judge.calls) == ("sage", 3 + 3)
    best = known.plan(ROUTED, PlanOptions(plan="sharp"))
    assert isinstance(best, Selection)
    assert (best.contrast and best.contrast.expert, best.calls) == ("clerk", 8)


@pytest.mark.parametrize(
    ("options", "param", "told"),
    [
        ({"plan": "mao"}, "coe.plan", "Known plans: single, self-moa"),
        ({"plan": "self-moa", "n": 32}, "coe.n", "would take 33 calls under the plan `self-moa`; at most 32"),
        ({"plan": "self-moa", "calls": 3}, "coe.n", "would take 7 calls under the plan `self-moa`; at most 3"),
        ({"plan": "self-moa", "calls": 33}, "coe.budget.calls", "asks for 33 calls"),
        ({"plan": "self-moa", "tokens": 6}, "coe.budget.tokens", "would take 7 calls, each of a token or more,"),
        ({"plan": "self-moa", "tokens": 20_000}, "coe.budget.tokens", "asks for 20000 tokens"),
        ({"plan": "self-moa", "seconds": 301.0}, "coe.budget.seconds", "asks for 301 seconds"),
        ({"plan": "self-moa", "max_tokens": 4096}, "max_tokens", "may generate 7 times 4096 tokens"),
        ({"plan": "self-moa", "choices": 2}, "n", "`coe.n` sets its samples"),
        ({"plan": "self-moa", "proposers": ("sage",)}, "coe.proposers", "asks the routed expert alone"),
        ({"plan": "vote", "aggregator": "sage"}, "coe.aggregator", "merges none"),
        ({"plan": "moa", "proposers": ("nobody",)}, "coe.proposers", "There is no expert `nobody`"),
        ({"plan": "moa", "aggregator": "nobody"}, "coe.aggregator", "There is no expert `nobody`"),
        ({"n": 3}, "coe.plan", "name one in `coe.plan`"),
    ],
)
def test_what_goes_beyond_a_plan_is_told_with_its_bound(options: dict[str, Any], param: str, told: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        planner().plan(ROUTED, PlanOptions(**options))
    assert (caught.value.http_status, caught.value.param) == (400, param)
    assert told in str(caught.value)


def test_all_calls_together_keep_to_the_token_bound() -> None:
    found = plan("self-moa", Found("sage"), tokens=700)
    assert isinstance(found, Moa)
    assert {member.max_tokens for member in (*found.proposers, found.aggregator)} == {100}


def test_a_category_has_its_plan_and_a_request_may_leave_it() -> None:
    known = planner({"verse": "self-moa"})
    assert known.plan(ROUTED, PlanOptions()).label == "self-moa"
    assert known.plan(ROUTED, PlanOptions(plan="single")).label == "single"
    assert known.plan(Found("poet"), PlanOptions()).label == "single"  # the client named the expert


@pytest.mark.parametrize(("options", "why"), [({"choices": 2}, "n"), ({"max_tokens": 5000}, "max_tokens")])
def test_a_categorys_plan_refuses_no_request_that_did_not_ask_for_it(options: dict[str, Any], why: str) -> None:
    found = planner({"verse": "self-moa"}).plan(ROUTED, PlanOptions(**options))
    assert found == Single("poet", "clerk", skipped=why)
