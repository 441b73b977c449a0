from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.aggregators.finished import as_answer
from coe.aggregators.mean_calls import MeanCalls
from coe.aggregators.proposals import Proposal
from coe.plan.executor import Executor
from coe.plan.expert import Answer
from coe.plan.plans import ByAnswer, Cascade, Plan
from coe.plan.request import ChatRequest
from tests.aggregators.scripted_experts import TERMS, ScriptedExpert, Told, member, request, self_moa, with_terms


@given(target=st.floats(0.1, 10), wishes=st.lists(st.integers(1, 12), max_size=200))
def test_the_mean_is_never_above_the_target(target: float, wishes: list[int]) -> None:
    budget, spent = MeanCalls(target), 0
    for number, wish in enumerate(wishes, 1):
        budget.arrive()
        spent += wish if budget.take(wish) else 0
        assert spent <= number * target + 1e-6


@given(target=st.floats(1.0, 7.0))
def test_what_may_be_spent_is_spent(target: float) -> None:
    """Requests that want seven calls and take one where seven are too many come within 5 % of the target."""
    budget, spent, requests = MeanCalls(target), 0, 2000
    for _ in range(requests):
        budget.arrive()
        spent += next(calls for calls in (7, 1) if budget.take(calls))
    assert spent / requests == pytest.approx(target, rel=0.05)


class Service:
    """An executor that keeps its budgets from one request to the next."""

    def __init__(self, plan: Plan, *experts: ScriptedExpert, cached: str | None = None) -> None:
        self.plan = plan
        self.experts = experts
        self._cached = cached
        self._executor = Executor({expert.name: expert for expert in experts}, recall=self._recall)

    async def _recall(self, name: str, asked: ChatRequest) -> Answer | None:
        return as_answer(Proposal(name, self._cached, 1), asked) if self._cached else None

    async def ask(self) -> Told:
        answer = await self._executor.run(self.plan, request())
        return Told(answer, tuple([chunk async for chunk in answer.chunks]))

    @property
    def calls(self) -> int:
        samples = (asked.fields.get("n") or 1 for expert in self.experts for asked in expert.asked)
        return sum(each for each in samples if isinstance(each, int))


async def test_what_is_too_much_on_average_gets_one_call() -> None:
    service = Service(with_terms(self_moa(3), mean_calls=2.0), ScriptedExpert("poet"))
    told = [await service.ask() for _ in range(12)]
    single = [each.notes == ["budget=single"] for each in told]
    assert single[:4] == [True, True, False, True]  # 2 and 1 are saved by then, and the plan takes 4
    assert service.calls <= 12 * 2.0
    assert told[0].usage["total_tokens"] == 11


async def test_where_no_call_is_left_the_default_answer_is_given() -> None:
    plan = with_terms(self_moa(3), mean_calls=0.5, null_answer="Ask again later.")
    service = Service(plan, ScriptedExpert("poet"))
    first, second = await service.ask(), await service.ask()
    assert (first.text, first.answer.expert, first.notes) == ("Ask again later.", "null", ["budget=null"])
    assert (second.text, second.answer.expert) == ("yes", "poet")
    assert first.usage["total_tokens"] == 0


async def test_a_cached_answer_goes_before_the_default_one() -> None:
    plan = with_terms(self_moa(3), mean_calls=0.5, null_answer="Ask again later.")
    told = await Service(plan, ScriptedExpert("poet"), cached="as before").ask()
    assert (told.text, told.answer.expert) == ("as before", "poet")


async def test_a_cascade_asks_no_third_expert_that_is_not_affordable() -> None:
    members = tuple(member(name) for name in "abc")
    plan = Cascade(label="c", members=members, agreement=ByAnswer(), terms=replace(TERMS, mean_calls=2.5))
    service = Service(plan, *(ScriptedExpert(name, (name,)) for name in "abc"))
    told = [await service.ask() for _ in range(10)]
    assert service.calls == 25
    assert sum(each.notes == ["budget=no_further_answer"] for each in told) == 5
