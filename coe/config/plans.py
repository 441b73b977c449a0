"""A validated configuration in, what is wrong with its plans out. Looks at no file."""

from __future__ import annotations

from collections.abc import Iterator

from coe.config.models import Config, PlanConfig, PlanKind
from coe.config.problem import Problem, unknown_name

RESERVED_PLAN = "single"
_MERGING: frozenset[PlanKind] = frozenset({"self-moa", "moa", "self-moa-seq"})
_USED_BY: dict[str, frozenset[PlanKind]] = {
    "proposers": frozenset({"moa", "vote", "cascade"}),
    "aggregator": _MERGING,
    "prompt": _MERGING,
    "layers": frozenset({"moa"}),
    "window": frozenset({"self-moa-seq"}),
    "agreement": frozenset({"cascade"}),
    "distance": frozenset({"cascade"}),
    "bar": frozenset({"cascade"}),
    "judge": frozenset({"cascade"}),
    "judge_prompt": frozenset({"cascade"}),
    "contrast": frozenset({"best-of-n"}),
}


def plan_problems(config: Config) -> Iterator[Problem]:
    """Names that lead nowhere, keys that mean nothing together."""
    for category, name in config.router.plans.items():
        if name not in config.all_plans() and name != RESERVED_PLAN:
            yield Problem(("router", "plans", category), unknown_name("plan", name, config.all_plans()))
    for name, plan in config.plans.items():
        if name == RESERVED_PLAN:
            yield Problem(("plans", name), f"`{RESERVED_PLAN}` is the name of one expert's answer; choose another.")
        yield from _key_problems(name, plan)
        yield from _expert_problems(config, name, plan)


def _key_problems(name: str, plan: PlanConfig) -> Iterator[Problem]:
    place = ("plans", name)
    for key, kinds in _USED_BY.items():
        if key in plan.model_fields_set and plan.kind not in kinds:
            yield Problem((*place, key), f"it has no meaning for `kind: {plan.kind}`; remove it.")
    if (plan.agreement == "judge") != (plan.judge is not None):
        yield Problem((*place, "judge"), "set `agreement: judge` and `judge` together: who decides, and that it does.")
    if plan.mean_calls is not None and plan.mean_calls < 1 and plan.null_answer is None:
        yield Problem(
            (*place, "null_answer"), "with `mean_calls` below 1 some requests get no call; say what they get."
        )
    if plan.samples > plan.max_calls:
        yield Problem((*place, "max_calls"), f"`n` alone is {plan.samples}; raise this bound or lower `n`.")


def _expert_problems(config: Config, name: str, plan: PlanConfig) -> Iterator[Problem]:
    named = [(("proposers", place), expert) for place, expert in enumerate(plan.proposers)]
    single = (("aggregator", plan.aggregator), ("judge", plan.judge), ("contrast", plan.contrast))
    for key, expert in [*named, *(((key,), expert) for key, expert in single if expert is not None)]:
        if expert not in config.experts:
            yield Problem(("plans", name, *key), unknown_name("expert", expert, config.experts))
    for place, expert in enumerate(plan.proposers):
        if expert in plan.proposers[:place]:
            yield Problem(
                ("plans", name, "proposers", place), f"`{expert}` is already in this list; raise `n` instead."
            )
