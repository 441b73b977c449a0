"""An expert that asks two experts, and further ones only while the answers differ."""

from __future__ import annotations

from collections.abc import Mapping

from coe.aggregators.agreement import Agreement
from coe.aggregators.asking import for_proposal, tools_of
from coe.aggregators.choosing import by_vote
from coe.aggregators.finished import as_answer
from coe.aggregators.gathering import Gathering, Proposer, Residency
from coe.aggregators.mean_calls import MeanCalls
from coe.aggregators.proposals import Proposal
from coe.aggregators.run import Note, Run
from coe.aggregators.selection_expert import without_plan
from coe.errors import RequestError
from coe.plan.expert import Answer, Expert
from coe.plan.plans import Cascade, Member
from coe.plan.request import ChatRequest

FIRST = 2


class CascadeExpert:
    """`budget`: asked before every call after the first two; None: further calls are free."""

    def __init__(
        self,
        plan: Cascade,
        experts: Mapping[str, Expert],
        run: Run,
        residency: Residency,
        *,
        agreement: Agreement,
        budget: MeanCalls | None = None,
    ) -> None:
        self.name = plan.expert
        self._plan = plan
        self._experts = experts
        self._run = run
        self._residency = residency
        self._agreement = agreement
        self._budget = budget

    async def answer(self, request: ChatRequest) -> Answer:
        if tools_of(request):
            return await without_plan(self._experts[self.name], request, self._run)
        waiting = list(self._plan.members)
        proposals: list[Proposal] = []
        groups: list[int] = []
        while waiting and not _settled(groups):
            if len(proposals) >= FIRST and not self._affordable():
                break
            asked = [waiting.pop(0) for _ in range(min(len(waiting), max(1, FIRST - len(proposals))))]
            for proposal in await self._ask(request, asked, last=not waiting and not proposals):
                groups.append(await self._group(proposal, proposals, groups))
                proposals.append(proposal)
        return as_answer(by_vote(proposals, groups, self._plan.weights), request)

    def _affordable(self) -> bool:
        if self._budget is None or self._budget.take(1):
            return True
        self._run.note(Note("budget", "no_further_answer"))
        return False

    async def _ask(self, request: ChatRequest, members: list[Member], *, last: bool) -> list[Proposal]:
        """Their answers; none where all of them failed and others are left to ask, or have answered."""
        run = self._run
        proposers = [
            Proposer(
                member,
                self._experts[member.expert],
                for_proposal(
                    request, member, run.next_request_id(), temperature=run.terms.temperature, keeps_format=True
                ),
            )
            for member in members
        ]
        try:
            return await Gathering(run, self._residency).ask(proposers, until=run.deadline)
        except RequestError as error:
            if last or 400 <= error.http_status < 429:
                raise
            return []

    async def _group(self, proposal: Proposal, before: list[Proposal], groups: list[int]) -> int:
        """The number of the group that it joins, or a new one."""
        firsts = [groups.index(group) for group in dict.fromkeys(groups)]
        place = await self._agreement.same_as(proposal.text, [before[first].text for first in firsts])
        return len(firsts) if place is None else groups[firsts[place]]


def _settled(groups: list[int]) -> bool:
    """Whether two answers agree."""
    return len(set(groups)) < len(groups)
