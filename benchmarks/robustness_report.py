"""Classifications in, the published figures out: what stays under a perturbation, what few prompts teach, targets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean

import orjson

from benchmarks.machine import Machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table
from routers.evaluation import Evaluation
from routers.report.figures import CategoryReport, wilson
from routers.router import Classification

LABELLED = (5, 10, 20)
TARGET = 0.97


@dataclass(frozen=True, slots=True)
class Stability:
    """Of `n` prompts that a perturbation changed: the share that keeps its category, with its 95 % interval (Wilson).

    `by_abstention`: the share that changed between a category and `general`. `expert_stays`: None where the router
    names no expert.
    """

    name: str
    n: int
    stays: float
    ci95: tuple[float, float]
    by_abstention: float
    expert_stays: float | None


@dataclass(frozen=True, slots=True)
class SmallData:
    """Routers of `labelled` prompts a category, means over `draws`; shares in [0, 1].

    `accuracy` on `n` other prompts, with the interval of one draw; `lowest` and `highest` of the draws. `promised`:
    what cross-validation said, with its interval. `abstained`: share of in-scope prompts that went to `general`.
    """

    labelled: int
    draws: int
    n: int
    accuracy: float
    ci95: tuple[float, float]
    lowest: float
    highest: float
    promised: float
    promised_ci95: tuple[float, float]
    abstained: float


@dataclass(frozen=True, slots=True)
class Report:
    machine: Machine
    stability: list[Stability]
    overall: Stability
    small_data: list[SmallData]
    goals: list[Goal]


def stability(name: str, before: Sequence[Classification], after: Sequence[Classification]) -> Stability:
    """Of the same prompts, one or more, before and after a perturbation."""
    pairs = list(zip(before, after, strict=True))
    same = sum(old.category == new.category for old, new in pairs)
    experts = [old.expert == new.expert for old, new in pairs if old.expert is not None]
    return Stability(
        name=name,
        n=len(pairs),
        stays=same / len(pairs),
        ci95=wilson(same, len(pairs)),
        by_abstention=mean(old.abstained != new.abstained for old, new in pairs),
        expert_stays=mean(experts) if experts else None,
    )


def of_trainings(labelled: int, trainings: Sequence[tuple[CategoryReport, Evaluation]], n: int) -> SmallData:
    """Of what cross-validation promised and what `n` in-scope prompts showed, for each draw."""
    seen = [found.category.accuracy or 0.0 for _, found in trainings]
    low, high = (mean(bounds) for bounds in zip(*(promised.ci95 for promised, _ in trainings), strict=True))
    return SmallData(
        labelled=labelled,
        draws=len(trainings),
        n=n,
        accuracy=mean(seen),
        ci95=wilson(round(mean(seen) * n), n),
        lowest=min(seen),
        highest=max(seen),
        promised=mean(promised.accuracy for promised, _ in trainings),
        promised_ci95=(low, high),
        abstained=mean(found.abstained or 0.0 for _, found in trainings),
    )


def report(machine: Machine, stable: Sequence[Stability], small: Sequence[SmallData]) -> Report:
    overall = _overall(stable)
    goals = [
        Goal(f"prompts that keep their category, at least {TARGET:.0%}: {each.name}", each.stays, each.stays >= TARGET)
        for each in (overall, *stable)
    ]
    return Report(machine, list(stable), overall, list(small), goals)


def _overall(stable: Sequence[Stability]) -> Stability:
    """Each perturbation counts by the prompts that it changed. The interval takes them for independent."""
    n = sum(each.n for each in stable)
    same = round(sum(each.stays * each.n for each in stable))
    experts = [(each.expert_stays, each.n) for each in stable if each.expert_stays is not None]
    return Stability(
        name="all of them",
        n=n,
        stays=same / n,
        ci95=wilson(same, n),
        by_abstention=sum(each.by_abstention * each.n for each in stable) / n,
        expert_stays=sum(share * count for share, count in experts) / sum(count for _, count in experts)
        if experts
        else None,
    )


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def as_markdown(found: Report) -> str:
    parts = (_stability_table(found), _small_data_table(found), _targets(found), _machine_lines(found))
    return "\n\n".join("\n".join(part) for part in parts)


def _stability_table(found: Report) -> list[str]:
    head = ("perturbation", "prompts", "category stays", "95 % interval", "changed by abstention", "expert stays")
    rows = [
        (
            each.name,
            f"{each.n:,}",
            f"{each.stays:.1%}",
            _interval(each.ci95),
            f"{each.by_abstention:.1%}",
            "" if each.expert_stays is None else f"{each.expert_stays:.1%}",
        )
        for each in (*found.stability, found.overall)
    ]
    return table([head, *rows])


def _small_data_table(found: Report) -> list[str]:
    head = (
        "prompts a category",
        "accuracy",
        "95 % interval",
        "lowest and highest draw",
        "cross-validation said",
        "its interval",
        "in scope abstained",
    )
    rows = [
        (
            f"{each.labelled}",
            f"{each.accuracy:.1%}",
            _interval(each.ci95),
            _interval((each.lowest, each.highest)),
            f"{each.promised:.1%}",
            _interval(each.promised_ci95),
            f"{each.abstained:.1%}",
        )
        for each in found.small_data
    ]
    return table([head, *rows])


def _interval(bounds: tuple[float, float]) -> str:
    return f"{bounds[0]:.1%} to {bounds[1]:.1%}"


def _targets(found: Report) -> list[str]:
    return goals_table("target", found.goals, ".1%")


def _machine_lines(found: Report) -> list[str]:
    lines = machine_lines(found.machine)
    if found.small_data:
        first = found.small_data[0]
        lines.insert(0, f"Few prompts: means of {first.draws} draws, on {first.n:,} others; 5 % abstention asked for.")
    return lines
