"""A plan as people and programs read it before it runs: who would be asked for what, with the calls and tokens of each.

Calls are expected ones; tokens are bounds, as if every generation used all that it may. The gateway has no tokenizer:
the conversation's own tokens are an estimate.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

import orjson

from coe.aggregators.agreement import VERDICT_TOKENS
from coe.plan.foresight import answer_probabilities
from coe.plan.plans import ByJudge, Cascade, Member, Moa, Plan, Selection, SequentialMoa, Single
from coe.plan.request import JsonValue

_BYTES_A_TOKEN = 4


@dataclass(frozen=True, slots=True)
class PlanTree:
    """One node.

    Attributes:
        node: what is done.
        expert: by whom.
        calls: generations, on average; None where it depends on answers of which nothing is known.
        max_calls: at most.
        prompt_tokens: that engines read, at most; of several samples in one engine request once.
        completion_tokens: that are generated, at most; None where nothing limits them.
        parts: what it consists of, in the order in which it runs.
    """

    node: str
    expert: str
    calls: float | None
    max_calls: int
    prompt_tokens: int
    completion_tokens: int | None
    parts: tuple[PlanTree, ...] = ()

    def lines(self, indent: int = 0) -> Iterator[str]:
        """For people, two spaces a level."""
        calls = f"{self.max_calls}" if self.calls == self.max_calls else f"{_figure(self.calls)} (max {self.max_calls})"
        generated = "" if self.completion_tokens is None else f", generates at most {self.completion_tokens}"
        yield f"{'  ' * indent}{self.node} {self.expert}: calls {calls}, reads {self.prompt_tokens} tokens{generated}"
        for part in self.parts:
            yield from part.lines(indent + 1)


def plan_tree(plan: Plan, messages: Sequence[JsonValue], max_tokens: int | None = None) -> PlanTree:
    """What `plan` would run for `messages`. `max_tokens`: of the request, which bounds an answer without a plan."""
    said = len(orjson.dumps(messages)) // _BYTES_A_TOKEN
    match plan:
        case Single():
            return PlanTree("answer", plan.expert, 1, 1, said, max_tokens)
        case Moa():
            return _summed(plan.label, plan.expert, _layers(plan, said))
        case SequentialMoa():
            return _summed(plan.label, plan.expert, _steps(plan, said))
        case Selection():
            return _summed(plan.label, plan.expert, _samples(plan, said))
        case Cascade():
            return _cascade(plan, said)
        case _:
            assert_never(plan)


def _layers(plan: Moa, said: int) -> Iterator[PlanTree]:
    before = 0
    for _ in range(plan.layers):
        yield from (_call("propose", member, _within(member, said + before)) for member in plan.proposers)
        before = _tokens(len(plan.prompt)) + sum(member.n * member.max_tokens for member in plan.proposers)
    yield _call("aggregate", plan.aggregator, _within(plan.aggregator, said + before))


def _steps(plan: SequentialMoa, said: int) -> Iterator[PlanTree]:
    yield _call("propose", plan.proposer, said)
    window = _tokens(len(plan.prompt)) + plan.window * plan.proposer.max_tokens
    for _ in range(plan.merges):
        yield _call("aggregate", plan.aggregator, _within(plan.aggregator, said + window))


def _samples(plan: Selection, said: int) -> Iterator[PlanTree]:
    for member in plan.proposers:
        yield _call("sample", member, said)
    if weak := plan.contrast:
        for member in plan.proposers:
            reads = member.n * (said + member.max_tokens)
            yield PlanTree("score", weak.expert, member.n, member.n, reads, member.n)


def _cascade(plan: Cascade, said: int) -> PlanTree:
    parts = [_call("answer", member, said) for member in plan.members]
    if isinstance(plan.agreement, ByJudge):
        comparisons = plan.calls - len(plan.members)
        read = comparisons * (said + 2 * max(member.max_tokens for member in plan.members))
        parts.append(
            PlanTree("judge", plan.agreement.judge.expert, None, comparisons, read, comparisons * VERDICT_TOKENS)
        )
    probabilities = answer_probabilities(plan)
    expected = None if probabilities is None else sum(probabilities)
    whole = _summed(plan.label, plan.expert, parts)
    return PlanTree(
        whole.node, whole.expert, expected, whole.max_calls, whole.prompt_tokens, whole.completion_tokens, whole.parts
    )


def _call(node: str, member: Member, reads: int) -> PlanTree:
    return PlanTree(node, member.expert, member.n, member.n, reads, member.n * member.max_tokens)


def _summed(node: str, expert: str, parts: Iterator[PlanTree] | Sequence[PlanTree]) -> PlanTree:
    all_parts = tuple(parts)
    return PlanTree(
        node,
        expert,
        sum(part.calls or 0 for part in all_parts),
        sum(part.max_calls for part in all_parts),
        sum(part.prompt_tokens for part in all_parts),
        sum(part.completion_tokens or 0 for part in all_parts),
        all_parts,
    )


def _within(member: Member, tokens: int) -> int:
    """Proposals are cut to what fits beside the answer."""
    return tokens if member.context is None else min(tokens, member.context)


def _tokens(chars: int) -> int:
    return chars // _BYTES_A_TOKEN


def _figure(calls: float | None) -> str:
    return "unknown" if calls is None else f"{calls:.2f}"
