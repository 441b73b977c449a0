"""An expert that answers with the best of several samples, chosen and not merged."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from coe.aggregators.asking import for_proposal, tools_of
from coe.aggregators.begun import begun
from coe.aggregators.choosing import best
from coe.aggregators.finished import as_answer
from coe.aggregators.gathering import Gathering, Proposer, Residency
from coe.aggregators.likelihood import mean_logprob, self_contrast
from coe.aggregators.proposals import Proposal
from coe.aggregators.run import Note, Run
from coe.aggregators.scoring import score, spoken
from coe.plan.expert import Answer, Expert
from coe.plan.plans import Selection
from coe.plan.request import ChatRequest


class SelectionExpert:
    """Args: the plan, the experts that it names, the request's run, and where experts are."""

    def __init__(self, plan: Selection, experts: Mapping[str, Expert], run: Run, residency: Residency) -> None:
        self.name = plan.expert
        self._plan = plan
        self._experts = experts
        self._run = run
        self._residency = residency

    async def answer(self, request: ChatRequest) -> Answer:
        if tools_of(request):
            return await without_plan(self._experts[self.name], request, self._run)
        run, plan = self._run, self._plan
        proposers = [
            Proposer(
                member,
                self._experts[member.expert],
                for_proposal(
                    request,
                    member,
                    run.next_request_id(),
                    temperature=run.terms.temperature,
                    keeps_format=True,
                    logprobs=plan.by == "likelihood",
                ),
            )
            for member in plan.proposers
        ]
        proposals = await Gathering(run, self._residency).ask(proposers, until=run.deadline)
        if plan.by == "vote":
            return as_answer(best(proposals, plan.log_odds), request)
        scores = await self._scores(request, proposals)
        return as_answer(proposals[scores.index(max(scores))], request)

    async def _scores(self, request: ChatRequest, proposals: Sequence[Proposal]) -> list[float]:
        if self._plan.contrast is None:
            return [mean_logprob(proposal.logprobs) for proposal in proposals]
        weak = self._experts[self._plan.contrast.expert]
        found = await asyncio.gather(*(score(weak, request, each, self._run) for each in proposals))
        if not all(found):  # scores with and without contrast do not compare
            return [mean_logprob(proposal.logprobs) for proposal in proposals]
        return [self_contrast(spoken(each), other) for each, other in zip(proposals, found, strict=True)]


async def without_plan(expert: Expert, request: ChatRequest, run: Run) -> Answer:
    """One expert answers a request with tools, because what is compared are texts."""
    run.note(Note("skipped", "tools"))
    run.last_role = "answer"
    return await begun(await expert.answer(request))
