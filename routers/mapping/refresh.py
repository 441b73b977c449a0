"""Refreshing the map: in come a router and new outcomes, out comes the same router with what they change of its map.

The classifier stays. New outcomes are added to those that the map was learned from, and the same test decides where an
expert is preferred. A new expert needs its outcomes on some prompts, and nothing else.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from routers.abstention import GENERAL
from routers.errors import DataError, MapError
from routers.mapping.expert_map import ExpertMap, best_alone, learn_map
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.mapping.outcomes import Outcomes, answered_outcomes_of, experts_seen, outcomes_of
from routers.mapping.paired import PairedScores
from routers.mapping.policies import EVIDENCE_LEVELS
from routers.prompts import LabelledPrompt
from routers.router import CategoryRouter


@dataclass(frozen=True, slots=True)
class ServedOutcome:
    """A score of an answer in service. `category` as the router found it, or `general`."""

    category: str
    expert: str
    score: float


@dataclass(frozen=True, slots=True)
class CategoryChange:
    """One category: its expert before and after, and what speaks for the latter.

    `rows`: outcomes of `after` there. `difference`: its mean above the default's, `p_value` one-sided; None for the
    default itself.
    """

    category: str
    before: str | None
    after: str
    rows: int
    difference: float | None
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Refreshed:
    """`probes` and `served`: outcomes added. Left out were: `known`, outcomes of prompts that were counted before;
    `strange`, served outcomes of categories that the router does not know; outcomes of `unsized` experts, where the
    sizes of all others are known.
    """

    router: CategoryRouter
    changes: tuple[CategoryChange, ...]
    probes: int
    served: int
    known: int
    strange: int
    unsized: tuple[str, ...]


def refresh(
    router: CategoryRouter,
    probes: Sequence[LabelledPrompt],
    served: Sequence[ServedOutcome],
    sizes: Mapping[str, ExpertSize] | None = None,
) -> Refreshed:
    """Add outcomes of `probes` (prompts with outcomes) and `served`, and learn the map again within its limits.

    `sizes`: of experts that the router does not know yet. Raises DataError where there is nothing to add, or
    BudgetError.
    """
    before = router.expert_map
    pool = {**({} if before is None else before.pool), **(sizes or {})}
    sized = before is not None and all(size is not None for size in before.pool.values())
    named = {*experts_seen(probes), *(one.expert for one in served)}
    unsized = named - set(pool) if sized else set()
    fresh, known = _not_counted(router, probes, unsized)
    usable = [one for one in served if one.category in {*router.categories, GENERAL} and one.expert not in unsized]
    if not fresh and not usable:
        raise DataError("There is no new outcome to learn from: give prompts with `outcomes`, or let answers be scored")
    paired, answered = _learned_from(router)
    if fresh:
        found = [answer.category for answer in router.classify_batch([prompt.text for prompt in fresh])]
        experts = experts_seen(fresh)
        paired = paired.plus(_sums(router, found, outcomes_of(fresh, experts)), with_traffic=False)
        answered = answered.plus(_sums(router, found, answered_outcomes_of(fresh, experts)), with_traffic=False)
    if usable:
        of_service = _of_served(router, usable)
        paired, answered = (scores.plus(of_service, with_traffic=True) for scores in (paired, answered))
    limits = Limits() if before is None else before.limits
    learned = learn_map(
        paired,
        router.categories,
        {name: size for name in paired.experts if (size := pool.get(name)) is not None} if sized else None,
        limits,
        evidence=EVIDENCE_LEVELS[0] if before is None else before.evidence,
    )
    return Refreshed(
        router=router.with_map(learned, paired, answered).knowing([prompt.text for prompt in fresh]),
        changes=_changes(before, learned, paired, router.categories),
        probes=sum(len(prompt.outcomes) for prompt in fresh),
        served=len(usable),
        known=known,
        strange=sum(one.category not in {*router.categories, GENERAL} for one in served),
        unsized=tuple(sorted(unsized)),
    )


def _not_counted(
    router: CategoryRouter, probes: Sequence[LabelledPrompt], unsized: set[str]
) -> tuple[list[LabelledPrompt], int]:
    """Of prompts that the router knows, the outcomes of new experts alone: the others were counted then."""
    old = set() if router.paired is None else set(router.paired.experts)
    fresh: list[LabelledPrompt] = []
    left_out = 0
    for prompt, counted in zip(probes, router.knows([prompt.text for prompt in probes]), strict=True):
        usable = {name: score for name, score in prompt.outcomes.items() if name not in unsized}
        outcomes = {name: score for name, score in usable.items() if not counted or name not in old}
        left_out += len(usable) - len(outcomes)
        if outcomes:
            fresh.append(replace(prompt, outcomes=outcomes))
    return fresh, left_out


def _learned_from(router: CategoryRouter) -> tuple[PairedScores, PairedScores]:
    """All outcomes, and those of experts that gave an answer."""
    if router.paired is not None and router.answered is not None:
        return router.paired, router.answered
    if router.expert_map is not None:
        raise MapError("The router's map was given and not learned: there is nothing that outcomes could be added to")
    rows = len(router.categories) + 1
    none = np.zeros((rows, 0, 0))
    nothing = PairedScores((), none, none, none, none, traffic=np.ones(rows))
    return nothing, nothing


def _of_served(router: CategoryRouter, served: Sequence[ServedOutcome]) -> PairedScores:
    rows = [LabelledPrompt("", outcomes={one.expert: one.score}) for one in served]
    return _sums(router, [one.category for one in served], outcomes_of(rows, experts_seen(rows)))


def _sums(router: CategoryRouter, found: Sequence[str], outcomes: Outcomes) -> PairedScores:
    place = {category: i for i, category in enumerate((*router.categories, GENERAL))}
    numbers = np.array([place[category] for category in found], dtype=np.int64)
    return PairedScores.of(outcomes, numbers, len(place))


def _changes(
    before: ExpertMap | None, after: ExpertMap, paired: PairedScores, categories: Sequence[str]
) -> tuple[CategoryChange, ...]:
    sizes = {name: size for name, size in after.pool.items() if size is not None}
    default = best_alone(paired, sizes if len(sizes) == len(after.pool) else None, after.limits)
    difference, p_values = (
        (None, None) if default is None else (paired.differences(default)[0], paired.p_values(default))
    )
    changes: list[CategoryChange] = []
    for row, category in enumerate((*categories, GENERAL)):
        expert = after.expert_for(category)
        column = paired.experts.index(expert)
        compared = difference is not None and p_values is not None and column != default
        changes.append(
            CategoryChange(
                category=category,
                before=None if before is None else before.expert_for(category),
                after=expert,
                rows=int(paired.rows()[row, column]),
                difference=float(difference[row, column]) if compared and difference is not None else None,
                p_value=float(p_values[row, column]) if compared and p_values is not None else None,
            )
        )
    return tuple(changes)
