"""What a request would do: a decision in, its plan as JSON out. Nothing runs."""

from __future__ import annotations

import orjson

from coe.gateway.decision import Decision
from coe.plan.plans import Single
from coe.plan.request import ChatRequest
from coe.plan.tree import plan_tree


def dry_run(decision: Decision, request: ChatRequest) -> bytes:
    """The body of the reply."""
    plan = decision.plan
    bounds = None if isinstance(plan, Single) else plan.terms
    return orjson.dumps(
        {
            "object": "coe.plan",
            "plan": plan.label,
            "category": decision.category,
            "expert": decision.expert,
            "tree": plan_tree(plan, request.messages, request.options.max_tokens),
            "bounds": bounds
            and {"calls": bounds.max_calls, "tokens": bounds.max_tokens, "seconds": bounds.max_seconds},
        }
    )
