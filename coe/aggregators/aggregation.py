"""Proposals in, one answer out: an expert merges them, and where it cannot the best of them is the answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import orjson

from coe.aggregators.asking import for_answer, for_proposal, tools_of, wants_exact_form, with_instructions
from coe.aggregators.begun import begun
from coe.aggregators.choosing import best
from coe.aggregators.finished import as_answer
from coe.aggregators.progress import Step
from coe.aggregators.prompts import aggregation
from coe.aggregators.proposals import Proposal
from coe.aggregators.run import Note, Run
from coe.aggregators.sampling import sample
from coe.aggregators.totals import too_late
from coe.aggregators.trimming import ANOTHER_TOKENIZER, estimate, fit, room
from coe.errors import RequestError
from coe.plan.expert import Answer, Expert
from coe.plan.plans import Member
from coe.plan.request import ChatRequest, JsonValue

CONTEXT_IS_FULL = "maximum context length"  # vLLM's words; it gives no code


class Aggregation:
    """Merges the proposals of one request.

    Args:
        member: who merges, as the plan says it.
        expert: that expert.
        run: the request's.
        prompt: what it is told, with a place for the proposals.
        models: the model of each proposer, by its name.
        log_odds: of experts to be right, to choose the best proposal by.
    """

    def __init__(
        self,
        member: Member,
        expert: Expert,
        run: Run,
        *,
        prompt: str,
        models: Mapping[str, str],
        log_odds: Mapping[str, float],
    ) -> None:
        self._member = member
        self._expert = expert
        self._prompt = prompt
        self._models = models
        self._run = run
        self._log_odds = log_odds
        self._conversation: dict[str, int] = {}

    async def answer(self, request: ChatRequest, proposals: Sequence[Proposal]) -> Answer:
        """The reply to the client, begun: a stream has its first token, another reply is complete.

        Raises:
            RequestError: the aggregator refused what the client asked for, or a free text would not be it.
        """
        run = self._run
        run.progress.tell(Step("aggregating", self._member.expert, len(proposals), 0))
        messages = self.messages(request, self._member, proposals, with_tools=True)
        if messages is None:
            return self._fall_back(request, proposals, "no_room")
        try:
            async with asyncio.timeout_at(run.deadline):
                answer = await begun(await self._expert.answer(for_answer(request, self._member, messages)))
        except TimeoutError as error:
            if wants_exact_form(request):
                raise too_late(run) from error
            return self._fall_back(request, proposals, "late")
        except RequestError as error:
            if _is_the_clients(error) or wants_exact_form(request):
                raise
            return self._fall_back(request, proposals, error.body.code or error.body.type)
        run.last_role = "aggregation"
        run.swap_ms = max(run.swap_ms, answer.swap_ms)
        return answer

    async def merge(self, request: ChatRequest, proposals: Sequence[Proposal]) -> Proposal | None:
        """A step before the last: a text that stands for `proposals`; None where there is none."""
        messages = self.messages(request, self._member, proposals)
        if messages is None:
            return None
        asked = for_proposal(request, self._member, self._run.next_request_id(), temperature=0.0, messages=messages)
        until = asyncio.get_running_loop().time() + self._run.terms.proposal_timeout_s
        try:
            (merged,) = await sample(self._expert, asked, self._run, "synthesis", until=min(until, self._run.deadline))
        except RequestError as error:
            if _is_the_clients(error):
                raise
            self._run.note(Note("left_out", f"{self._member.expert}:{error.body.code or error.body.type}"))
            return None
        return merged

    def messages(
        self, request: ChatRequest, reader: Member, proposals: Sequence[Proposal], *, with_tools: bool = False
    ) -> list[JsonValue] | None:
        """The conversation with the proposals, cut to what `reader` can take in; None where it can take in none."""
        tools = tools_of(request) if with_tools else None
        words = self._prompt + (orjson.dumps(tools).decode() if tools else "")
        texts = self._fitted(reader, proposals, words)
        if not texts:
            self._run.note(Note("context", f"{reader.expert}:no_room"))
            return None
        return with_instructions(request.messages, aggregation(self._prompt, texts))

    def _fitted(self, reader: Member, proposals: Sequence[Proposal], words: str) -> list[str]:
        texts = [proposal.text for proposal in proposals]
        if reader.context is None:
            return texts
        factors = [
            1.0 if self._models.get(proposal.expert) == reader.model else ANOTHER_TOKENIZER for proposal in proposals
        ]
        conversation = self._tokens_of_conversation(reader.model, proposals)
        answer = min(reader.max_tokens, reader.context // 2)
        left = room(reader.context, conversation + estimate(words), answer)
        fitted = fit(proposals, left, factors)
        if fitted.cut:
            self._run.note(Note("trimmed", f"{reader.expert}:{fitted.cut}/{len(proposals)}_to_{fitted.limit}_tokens"))
        return [text for text in fitted.texts if text.strip()]

    def _tokens_of_conversation(self, model: str, proposals: Sequence[Proposal]) -> int:
        """As the first proposers' engines counted it; later ones also read what came before them."""
        if not self._conversation:
            for proposal in proposals:
                name = self._models.get(proposal.expert, "")
                self._conversation[name] = max(proposal.prompt_tokens, self._conversation.get(name, 0))
        return self._conversation.get(model) or int(max(self._conversation.values()) * ANOTHER_TOKENIZER)

    def _fall_back(self, request: ChatRequest, proposals: Sequence[Proposal], reason: str) -> Answer:
        self._run.note(Note("fallback", f"{self._member.expert}:{reason}"))
        return as_answer(best(proposals, self._log_odds), request)


def _is_the_clients(error: RequestError) -> bool:
    """Whether the request itself is refused; a context that is full of proposals is not the client's doing."""
    return 400 <= error.http_status < 429 and CONTEXT_IS_FULL not in error.body.message
