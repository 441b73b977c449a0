"""Plans in, answers out: builds the tree of experts that a plan names, and runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from coe.plan.expert import Answer, Expert
from coe.plan.fallback_expert import FallbackExpert
from coe.plan.request import ChatRequest


@dataclass(frozen=True, slots=True)
class Single:
    """One expert answers; `fallback` does while it cannot."""

    expert: str
    fallback: str | None = None
    label: str = "single"


Plan = Single
"""A union that grows with the aggregators; each member has a `label` for headers and metrics."""


class Executor:
    """Runs plans over the experts of one service."""

    def __init__(self, experts: Mapping[str, Expert]) -> None:
        self._experts = experts

    async def run(self, plan: Plan, request: ChatRequest) -> Answer:
        """Begins the answer. Raises RequestError where none can begin."""
        return await self._build(plan).answer(request)

    def _build(self, plan: Plan) -> Expert:
        expert = self._experts[plan.expert]
        if plan.fallback is None or plan.fallback == plan.expert:
            return expert
        return FallbackExpert(expert, self._experts[plan.fallback])
