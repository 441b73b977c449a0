"""The prompts that a configuration names, or those that ship, by plan."""

from __future__ import annotations

from coe.aggregators.prompts import PromptKind, check_prompt, own_prompt
from coe.config.load import LoadedConfig
from coe.config.problem import Problem
from coe.errors import InputError
from coe.plan.building import PlanPrompts, expert_facts
from coe.plan.planner import Planner


def load_planner(loaded: LoadedConfig) -> Planner:
    """Reads the files that plans name. Raises ConfigError for those that cannot be read or lack a place."""
    config = loaded.config
    plans = {
        name: (
            plan,
            PlanPrompts(
                _prompt(loaded, name, "aggregate", plan.prompt), _prompt(loaded, name, "judge", plan.judge_prompt)
            ),
        )
        for name, plan in config.all_plans().items()
    }
    return Planner(plans, config.router.plans, expert_facts(config))


def _prompt(loaded: LoadedConfig, plan: str, kind: PromptKind, file: str | None) -> str:
    if file is None:
        return own_prompt(kind)
    key = "prompt" if kind == "aggregate" else "judge_prompt"
    try:
        return check_prompt(kind, loaded.path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InputError) as error:
        raise loaded.error([Problem(("plans", plan, key), f"{file}: {error}")]) from error
