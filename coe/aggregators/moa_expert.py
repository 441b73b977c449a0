"""An expert that asks proposers, layer by layer, and has an aggregator merge what they say.

Self-MoA is one layer with one proposer that gives several samples.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from coe.aggregators.aggregation import Aggregation
from coe.aggregators.asking import for_proposal
from coe.aggregators.gathering import Gathering, Proposer, Residency
from coe.aggregators.proposals import Proposal
from coe.aggregators.run import Run
from coe.plan.expert import Answer, Expert
from coe.plan.plans import Member, Moa
from coe.plan.request import ChatRequest, JsonValue

PROPOSING = 0.6  # of the plan's time; the rest is the aggregator's


class MoaExpert:
    """Args: the plan, the experts that it names, the request's run, and where experts are."""

    def __init__(self, plan: Moa, experts: Mapping[str, Expert], run: Run, residency: Residency) -> None:
        self.name = plan.expert
        self._plan = plan
        self._experts = experts
        self._run = run
        self._residency = residency
        models = {member.expert: member.model for member in (*plan.proposers, plan.aggregator)}
        self._aggregation = Aggregation(
            plan.aggregator,
            experts[plan.aggregator.expert],
            run,
            prompt=plan.prompt,
            models=models,
            log_odds=plan.log_odds,
        )

    async def answer(self, request: ChatRequest) -> Answer:
        terms = self._run.terms
        begun = asyncio.get_running_loop().time()
        proposals: list[Proposal] = []
        for layer in range(1, self._plan.layers + 1):
            until = begun + terms.max_seconds * PROPOSING * layer / self._plan.layers
            proposals = await self._layer(request, proposals, until)
        return await self._aggregation.answer(request, proposals)

    async def _layer(self, request: ChatRequest, before: Sequence[Proposal], until: float) -> list[Proposal]:
        gathering = Gathering(self._run, self._residency, self._plan.aggregator.model)
        proposers = [self._proposer(request, member, before) for member in self._plan.proposers]
        return await gathering.ask(proposers, until=until)

    def _proposer(self, request: ChatRequest, member: Member, before: Sequence[Proposal]) -> Proposer:
        messages: list[JsonValue] | None = self._aggregation.messages(request, member, before) if before else None
        run = self._run
        asked = for_proposal(
            request, member, run.next_request_id(), temperature=run.terms.temperature, messages=messages
        )
        return Proposer(member, self._experts[member.expert], asked)
