"""Proposals of several experts: who is asked goes in, what came in time out; the others are left out and told of.

Experts that are resident are asked together and first. Those that are not follow, the experts of one model at a time:
each model is swapped in once for a layer, and not once for a call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Protocol

from coe.aggregators.progress import Step
from coe.aggregators.proposals import Proposal
from coe.aggregators.run import Note, Run
from coe.aggregators.sampling import sample
from coe.errors import RequestError, UnavailableError
from coe.plan.expert import Expert
from coe.plan.plans import Member
from coe.plan.request import ChatRequest


class Residency(Protocol):
    """Where experts are now."""

    def is_resident(self, expert: str) -> bool:
        """Whether some worker can answer as the expert without a swap."""
        ...


class AllResident:
    """For a service whose experts never move."""

    def is_resident(self, expert: str) -> bool:  # noqa: ARG002  # the shape of Residency
        return True


@dataclass(frozen=True, slots=True)
class Proposer:
    """An expert that is asked: what the plan says of it, the expert itself, and the request to it."""

    member: Member
    expert: Expert
    request: ChatRequest


class Gathering:
    """Asks proposers; `last_model` is the model that should be resident afterwards, for the call that follows."""

    def __init__(self, run: Run, residency: Residency, last_model: str | None = None) -> None:
        self._run = run
        self._residency = residency
        self._last_model = last_model
        self._finished = 0
        self._left = 0
        self._failures: list[RequestError] = []

    async def ask(self, proposers: Sequence[Proposer], *, until: float) -> list[Proposal]:
        """All proposals that are finished by the loop time `until`, in the order of `proposers`.

        Raises:
            RequestError: fewer than the plan's minimum came.
        """
        terms = self._run.terms
        wanted = sum(proposer.member.n for proposer in proposers)
        self._finished, self._left, self._failures = 0, wanted, []
        found: dict[int, list[Proposal]] = {}

        async def ask(place: int) -> None:
            found[place] = await self._one(proposers[place], until)

        for together in self._groups(proposers):
            async with asyncio.TaskGroup() as tasks:
                for place in together:
                    tasks.create_task(ask(place))
        proposals = [proposal for place in sorted(found) for proposal in found[place]]
        if len(proposals) < min(terms.min_proposals, wanted) or not proposals:
            raise self._too_few(len(proposals), wanted)
        return proposals

    def _groups(self, proposers: Sequence[Proposer]) -> Iterator[list[int]]:
        """Places of proposers that are asked at the same time, group by group."""

        def turn(place: int) -> tuple[int, str]:
            member = proposers[place].member
            if self._residency.is_resident(member.expert):
                return 0, ""
            return (2 if member.model == self._last_model else 1), member.model

        for _, together in groupby(sorted(range(len(proposers)), key=turn), key=turn):
            yield list(together)

    async def _one(self, proposer: Proposer, until: float) -> list[Proposal]:
        now = asyncio.get_running_loop().time()
        own = min(until, now + self._run.terms.proposal_timeout_s)
        wanted = proposer.member.n
        proposals: list[Proposal] = []
        try:
            proposals = await sample(
                proposer.expert, proposer.request, self._run, "proposal", until=own, on_finished=self._tell
            )
            reason = "unfinished"
        except RequestError as error:
            self._failures.append(error)
            reason = error.body.code or error.body.type
        if missing := wanted - len(proposals):
            self._leave_out(proposer.member.expert, missing, wanted, reason)
        return proposals

    def _tell(self, expert: str) -> None:
        self._finished += 1
        self._left -= 1
        self._run.progress.tell(Step("proposal", expert, self._finished, self._left))

    def _leave_out(self, expert: str, missing: int, wanted: int, reason: str) -> None:
        share = "" if missing == wanted == 1 else f"({missing}/{wanted})"
        self._run.note(Note("left_out", f"{expert}{share}:{reason}"))
        self._left = max(0, self._left - missing)
        self._run.progress.tell(Step("left_out", expert, self._finished, self._left))

    def _too_few(self, came: int, wanted: int) -> RequestError:
        """What the client can do something about goes first; it is the same for every proposer."""
        for error in self._failures:
            if 400 <= error.http_status < 429:
                return error
        if not came and self._failures:
            return self._failures[0]
        return UnavailableError(
            f"Only {came} of {wanted} proposals came; the plan `{self._run.label}` needs "
            f"{self._run.terms.min_proposals} (`min_proposals`).",
            code="too_few_proposals",
        )
