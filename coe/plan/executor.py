"""Plans in, answers out: builds the tree of experts that a plan names, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from coe.aggregators.agreement import Embedder, Groups, Judged, Likeness, NearEmbeddings
from coe.aggregators.budgeted_expert import BudgetedExpert, NullExpert, Recall
from coe.aggregators.cascade import CascadeSettings
from coe.aggregators.cascade_expert import CascadeExpert
from coe.aggregators.gathering import AllResident, Residency
from coe.aggregators.mean_calls import MeanCalls
from coe.aggregators.moa_expert import MoaExpert
from coe.aggregators.planned import planned_answer
from coe.aggregators.progress import Progress
from coe.aggregators.run import Run
from coe.aggregators.selection_expert import SelectionExpert
from coe.aggregators.sequential_expert import SequentialExpert
from coe.plan.expert import Answer, Expert
from coe.plan.fallback_expert import FallbackExpert
from coe.plan.foresight import call_probabilities
from coe.plan.plans import (
    Aggregated,
    ByAnswer,
    ByEmbedding,
    ByJudge,
    Cascade,
    Member,
    Moa,
    Plan,
    Selection,
    SequentialMoa,
    Single,
)
from coe.plan.request import ChatRequest

Announce: TypeAlias = Callable[[Mapping[str, float]], None]
"""Takes experts that a plan under way is going to ask, and how likely. Must be quick."""


class PlanRunner(Protocol):
    """Answers by a plan. What wraps one has this same shape."""

    async def run(self, plan: Plan, request: ChatRequest) -> Answer:
        """Begins the answer. Raises RequestError where none can begin."""
        ...


async def nothing_recalled(_: str, __: ChatRequest) -> Answer | None:
    """For a service without a cache."""
    return None


def tell_nobody(_: Mapping[str, float]) -> None:
    """For a service whose experts never move."""


class Executor:
    """Runs plans over the experts of one service.

    Args:
        experts: all of them, by name.
        residency: where they are now.
        embedder: for cascades whose answers are compared by embedding.
        recall: finds cached answers for requests that get no call.
        announce: told at a plan's beginning what it is going to ask.
    """

    def __init__(
        self,
        experts: Mapping[str, Expert],
        *,
        residency: Residency | None = None,
        embedder: Embedder | None = None,
        recall: Recall = nothing_recalled,
        announce: Announce = tell_nobody,
    ) -> None:
        self._experts = experts
        self._residency = residency or AllResident()
        self._embedder = embedder
        self._recall = recall
        self._announce = announce
        self._budgets: dict[str, MeanCalls] = {}

    async def run(self, plan: Plan, request: ChatRequest) -> Answer:
        """Begins the answer. Raises RequestError where none can begin."""
        if isinstance(plan, Single):
            return await self._single(plan.expert, plan.fallback).answer(request)
        progress = Progress(request.options.progress if request.stream else None, request.request_id, plan.expert)
        run = Run(plan.label, plan.terms, request.request_id, progress)
        if plan.terms.mean_calls is None:  # else the budget may come to one call or none
            self._announce(call_probabilities(plan))
        return planned_answer(self._within_budget(plan, request, run), request, run)

    def _single(self, expert: str, fallback: str | None) -> Expert:
        if fallback is None or fallback == expert:
            return self._experts[expert]
        return FallbackExpert(self._experts[expert], self._experts[fallback])

    def _members(self, *members: Member) -> dict[str, Expert]:
        return {member.expert: self._single(member.expert, member.fallback) for member in members}

    def _within_budget(self, plan: Aggregated, request: ChatRequest, run: Run) -> Expert:
        mean = plan.terms.mean_calls
        if mean is None:
            return self._build(plan, request, run, None)
        budget = self._budgets.setdefault(plan.label, MeanCalls(mean))
        whole = self._build(plan, request, run, budget)
        first = CascadeSettings().first if isinstance(plan, Cascade) else plan.calls
        single = self._experts[plan.expert]
        null = NullExpert(plan.expert, self._recall, plan.terms.null_answer or "")
        return BudgetedExpert(run, budget, whole=whole, calls=min(first, plan.calls), single=single, null=null)

    def _build(self, plan: Aggregated, request: ChatRequest, run: Run, budget: MeanCalls | None) -> Expert:
        match plan:
            case Moa():
                return MoaExpert(plan, self._members(*plan.proposers, plan.aggregator), run, self._residency)
            case SequentialMoa():
                return SequentialExpert(plan, self._members(plan.proposer, plan.aggregator), run, self._residency)
            case Selection():
                scoring = (plan.contrast,) if plan.contrast else ()
                return SelectionExpert(plan, self._members(*plan.proposers, *scoring), run, self._residency)
            case Cascade():
                return CascadeExpert(
                    plan,
                    self._members(*plan.members),
                    run,
                    self._residency,
                    groups=Groups(self._likeness(plan, request, run)),
                    budget=budget,
                )

    def _likeness(self, plan: Cascade, request: ChatRequest, run: Run) -> Likeness | None:
        match plan.agreement:
            case ByAnswer():
                return None
            case ByEmbedding(distance):
                assert self._embedder is not None
                return NearEmbeddings(self._embedder, distance, run)
            case ByJudge(judge):
                return Judged(plan.agreement, self._experts[judge.expert], request, run)
