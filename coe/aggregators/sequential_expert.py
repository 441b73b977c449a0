"""An expert that merges samples window by window: any number of them, in a context that stays the same.

The first sample is what was synthesised so far. Each step shows it in the kept places of the window, with new samples
in the others (arXiv 2502.00674, Self-MoA-Seq). The last step is the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from coe.aggregators.aggregation import Aggregation
from coe.aggregators.asking import for_proposal
from coe.aggregators.gathering import Gathering, Proposer, Residency
from coe.aggregators.moa_expert import PROPOSING
from coe.aggregators.proposals import Proposal
from coe.aggregators.run import Run
from coe.plan.expert import Answer, Expert
from coe.plan.plans import SequentialMoa
from coe.plan.request import ChatRequest


class SequentialExpert:
    """Args: the plan, the experts that it names, the request's run, and where experts are."""

    def __init__(self, plan: SequentialMoa, experts: Mapping[str, Expert], run: Run, residency: Residency) -> None:
        self.name = plan.expert
        self._plan = plan
        self._proposer = experts[plan.proposer.expert]
        self._run = run
        self._residency = residency
        models = {member.expert: member.model for member in (plan.proposer, plan.aggregator)}
        self._aggregation = Aggregation(
            plan.aggregator,
            experts[plan.aggregator.expert],
            run,
            prompt=plan.prompt,
            models=models,
            log_odds={},
        )

    async def answer(self, request: ChatRequest) -> Answer:
        samples = await self._samples(request)
        best, *windows = windowed(samples, self._plan.fresh)
        for fresh in windows[:-1]:
            merged = await self._aggregation.merge(request, self._window(best[0], fresh))
            best = [merged] if merged else best
        return await self._aggregation.answer(request, self._window(best[0], windows[-1] if windows else []))

    async def _samples(self, request: ChatRequest) -> list[Proposal]:
        run, member = self._run, self._plan.proposer
        asked = for_proposal(request, member, run.next_request_id(), temperature=run.terms.temperature)
        until = asyncio.get_running_loop().time() + run.terms.max_seconds * PROPOSING
        gathering = Gathering(run, self._residency, self._plan.aggregator.model)
        return await gathering.ask([Proposer(member, self._proposer, asked)], until=until)

    def _window(self, best: Proposal, fresh: Sequence[Proposal]) -> list[Proposal]:
        return [best] * (self._plan.kept if fresh else 1) + list(fresh)


def windowed(samples: Sequence[Proposal], fresh: int) -> list[list[Proposal]]:
    """The first sample alone, then the others, `fresh` at a time."""
    return [[samples[0]], *(list(samples[place : place + fresh]) for place in range(1, len(samples), fresh))]
