"""An expert that keeps to a mean number of calls: the whole plan where it is affordable, else one call, else none."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from coe.aggregators.begun import begun
from coe.aggregators.finished import as_answer
from coe.aggregators.mean_calls import MeanCalls
from coe.aggregators.proposals import Proposal
from coe.aggregators.run import Note, Run
from coe.plan.expert import NO_EXPERT, Answer, Expert
from coe.plan.request import ChatRequest

Recall = Callable[[str, ChatRequest], Awaitable[Answer | None]]
"""The answer of an expert to the same request that is in the cache."""


class NullExpert:
    """Costs no call: the cached answer of `stands_for` to the same request, or else a text that is always the same."""

    name = NO_EXPERT

    def __init__(self, stands_for: str, recall: Recall, text: str) -> None:
        self._stands_for = stands_for
        self._recall = recall
        self._text = text

    async def answer(self, request: ChatRequest) -> Answer:
        stored = await self._recall(self._stands_for, request)
        return stored or as_answer(Proposal(NO_EXPERT, self._text, 0), request)


class BudgetedExpert:
    """`calls` are those that `whole` takes from the start; what it takes later it asks the budget for itself."""

    def __init__(self, run: Run, budget: MeanCalls, *, whole: Expert, calls: int, single: Expert, null: Expert) -> None:
        self.name = whole.name
        self._whole = whole
        self._calls = calls
        self._single = single
        self._null = null
        self._budget = budget
        self._run = run

    async def answer(self, request: ChatRequest) -> Answer:
        self._budget.arrive()
        if self._budget.take(self._calls):
            return await self._whole.answer(request)
        if self._budget.take(1):
            self._run.note(Note("budget", "single"))
            self._run.last_role = "answer"
            return await begun(await self._single.answer(request))
        self._run.note(Note("budget", NO_EXPERT))
        return await self._null.answer(request)
