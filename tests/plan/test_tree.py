from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from coe.config.models import OWN_PLANS
from coe.plan.building import ExpertFacts, Found, PlanPrompts
from coe.plan.options import PlanOptions
from coe.plan.planner import Planner
from coe.plan.request import JsonValue
from coe.plan.tree import PlanTree, plan_tree
from routers.mapping.strengths import Strengths

MESSAGES: list[JsonValue] = [{"role": "user", "content": "x" * 400}]


def tree(name: str, log_odds: Sequence[float] = (), **options: Any) -> PlanTree:
    prompts = PlanPrompts("$proposals", "$question $first $second")
    experts = {expert: ExpertFacts("m", max_tokens=100, context=600) for expert in ("a", "b", "c")}
    planner = Planner({kind: (plan, prompts) for kind, plan in OWN_PLANS.items()}, {}, experts)
    return plan_tree(
        planner.plan(
            Found("a", strengths=strengths(log_odds) if log_odds else None), PlanOptions(plan=name, **options)
        ),
        MESSAGES,
    )


def strengths(log_odds: Sequence[float]) -> Strengths:
    """Of the experts a, b and c, which err independently."""
    return Strengths((), ("a", "b", "c"), np.array([log_odds]), np.zeros((3, 3)))


def test_self_moa_is_samples_and_one_aggregation() -> None:
    whole = tree("self-moa", n=4)
    assert (whole.node, whole.calls, whole.max_calls, whole.completion_tokens) == ("self-moa", 5, 5, 500)
    sampling, merging = whole.parts
    assert (sampling.node, sampling.expert, sampling.calls, sampling.completion_tokens) == ("propose", "a", 4, 400)
    assert 100 < sampling.prompt_tokens < 120
    assert 500 < merging.prompt_tokens < 530  # the conversation and four proposals


def test_what_is_read_ends_at_the_context() -> None:
    assert tree("self-moa", n=20).parts[1].prompt_tokens == 600


@pytest.mark.parametrize(("name", "nodes"), [
    ("single", []),
    ("moa", ["propose", "propose", "propose", "aggregate"]),
    ("self-moa-seq", ["propose", "aggregate", "aggregate"]),
    ("vote", ["sample"]),
    ("best-of-n", ["sample"]),
    ("cascade", ["answer", "answer", "answer"]),
])  # fmt: skip
def test_every_plan_has_a_tree(name: str, nodes: list[str]) -> None:
    found = tree(name)
    assert [part.node for part in found.parts] == nodes
    assert list(found.lines())


def test_how_often_a_cascade_goes_on_follows_from_measured_scores() -> None:
    assert tree("cascade", (30.0, 30.0, 0.0)).calls == pytest.approx(2)
    assert tree("cascade", (0.0, 0.0, 0.0)).calls == pytest.approx(2.75)
    unknown = tree("cascade")
    assert (unknown.calls, unknown.max_calls) == (None, 3)
    assert "calls unknown (max 3)" in next(unknown.lines())
