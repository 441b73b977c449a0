"""Log probabilities that an expert gives to a text that another wrote: asked of vLLM as those of a prompt's tokens."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import replace

import orjson

from coe.aggregators.proposals import Proposal, TokenLogprob
from coe.aggregators.run import Call, Note, Run
from coe.errors import DeadlineError, RequestError
from coe.plan.expert import Expert
from coe.plan.request import ChatRequest, JsonValue
from coe.sse import Usage, read_usage


async def score(expert: Expert, request: ChatRequest, proposal: Proposal, run: Run) -> tuple[float, ...]:
    """Of the tokens of `proposal.text`, in order; empty where the expert does not tell, which is noted."""
    loop = asyncio.get_running_loop()
    started, outcome, body = loop.time(), "ok", b""
    try:
        async with asyncio.timeout_at(min(run.deadline, started + run.terms.proposal_timeout_s)):
            answer = await expert.answer(_asked(request, proposal, run.next_request_id()))
            async with aclosing(answer.chunks) as chunks:
                body = b"".join([chunk async for chunk in chunks])
    except TimeoutError:
        outcome = DeadlineError.default_code or ""
    except RequestError as error:
        outcome = error.body.code or error.body.type
    usage = read_usage(body) or Usage(0, 0)
    run.add(Call("score", expert.name, 1, usage.prompt_tokens, usage.completion_tokens, loop.time() - started, outcome))
    found = _of_prompt(body)[-len(own) :] if (own := spoken(proposal)) else ()
    if not found:
        run.note(Note("left_out", f"{expert.name}:{'no_prompt_logprobs' if outcome == 'ok' else outcome}"))
    return tuple(found)


def spoken(proposal: Proposal) -> Sequence[TokenLogprob]:
    """The tokens of the text alone, without the one that ended it."""
    tokens = proposal.logprobs
    ended = proposal.finish_reason == "stop" and tokens and not proposal.text.endswith(tokens[-1].token)
    return tokens[:-1] if ended else tokens


def _asked(request: ChatRequest, proposal: Proposal, request_id: str) -> ChatRequest:
    answered: list[JsonValue] = [*request.messages, {"role": "assistant", "content": proposal.text}]
    fields: dict[str, JsonValue] = {
        "messages": answered,
        "add_generation_prompt": False,
        "continue_final_message": True,
        "max_tokens": 1,
        "temperature": 0,
        "prompt_logprobs": 0,
    }
    return replace(request, request_id=request_id, stream=False, temperature=0.0, cache="off", fields=fields)


def _of_prompt(body: bytes) -> list[float]:
    try:
        found = orjson.loads(body)["prompt_logprobs"] or []
        return [float(next(iter(token.values()))["logprob"]) for token in found if token]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []
