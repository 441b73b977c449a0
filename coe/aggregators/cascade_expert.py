"""An expert that asks two experts, and further ones only while that could change the answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from coe.aggregators.agreement import Groups
from coe.aggregators.asking import for_proposal, tools_of
from coe.aggregators.cascade import CascadeSettings, asks_on
from coe.aggregators.choosing import ballot, by_vote, strength
from coe.aggregators.finished import as_answer
from coe.aggregators.gathering import Gathering, Proposer, Residency
from coe.aggregators.mean_calls import MeanCalls
from coe.aggregators.proposals import Proposal
from coe.aggregators.run import Note, Run
from coe.aggregators.selection_expert import without_plan
from coe.aggregators.voting import Ballot
from coe.errors import RequestError
from coe.plan.expert import Answer, Expert
from coe.plan.plans import Cascade, Member
from coe.plan.request import ChatRequest


class CascadeExpert:
    """`budget`: asked before every call after the first ones; None: further calls are free."""

    def __init__(
        self,
        plan: Cascade,
        experts: Mapping[str, Expert],
        run: Run,
        residency: Residency,
        *,
        groups: Groups,
        budget: MeanCalls | None = None,
    ) -> None:
        self.name = plan.expert
        self._plan = plan
        self._settings = CascadeSettings(most=len(plan.members), bar=plan.bar)
        self._experts = experts
        self._run = run
        self._residency = residency
        self._groups = groups
        self._budget = budget

    async def answer(self, request: ChatRequest) -> Answer:
        if tools_of(request):
            return await without_plan(self._experts[self.name], request, self._run)
        waiting = list(self._plan.members)
        proposals: list[Proposal] = []
        ballots: list[Ballot] = []
        while waiting and self._asks_on(ballots, waiting[0]):
            together = max(1, self._settings.first - len(ballots))
            asked, waiting = waiting[:together], waiting[together:]
            for proposal in await self._ask(request, asked, last=not waiting and not proposals):
                proposals.append(proposal)
                group = await self._groups.add(proposal.text)
                ballots.append(ballot(proposal, group, self._plan.log_odds, self._settings))
        return as_answer(by_vote(proposals, ballots), request)

    def _asks_on(self, ballots: Sequence[Ballot], following: Member) -> bool:
        if not asks_on(ballots, strength(following.expert, self._plan.log_odds), self._settings):
            return False
        if len(ballots) < self._settings.first or self._budget is None or self._budget.take(1):
            return True
        self._run.note(Note("budget", "no_further_answer"))
        return False

    async def _ask(self, request: ChatRequest, members: Sequence[Member], *, last: bool) -> list[Proposal]:
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
