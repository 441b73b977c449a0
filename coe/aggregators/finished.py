"""A proposal that is the answer: its text in, a reply as an engine would write it out, complete or streamed."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import orjson

from coe.aggregators.proposals import Proposal
from coe.plan.expert import Answer
from coe.plan.request import ChatRequest


def as_answer(proposal: Proposal, request: ChatRequest) -> Answer:
    """The reply to the client. Its usage is left to `totals`."""
    body = _streamed(proposal, request) if request.stream else _complete(proposal, request)
    return Answer(proposal.expert, request.stream, _once(body))


def _head(proposal: Proposal, request: ChatRequest, kind: str) -> dict[str, object]:
    return {
        "id": f"chatcmpl-{request.request_id}",
        "object": kind,
        "created": int(time.time()),
        "model": proposal.expert,
    }


def _complete(proposal: Proposal, request: ChatRequest) -> bytes:
    message = {"role": "assistant", "content": proposal.text}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": proposal.finish_reason}
    return orjson.dumps({**_head(proposal, request, "chat.completion"), "choices": [choice], "usage": None})


def _streamed(proposal: Proposal, request: ChatRequest) -> bytes:
    head = _head(proposal, request, "chat.completion.chunk")
    delta = {"role": "assistant", "content": proposal.text}
    text = {"index": 0, "delta": delta, "finish_reason": None}
    end = {"index": 0, "delta": {}, "finish_reason": proposal.finish_reason}
    frames = [b"data: " + orjson.dumps({**head, "choices": [choice]}) + b"\n\n" for choice in (text, end)]
    return b"".join([*frames, b"data: [DONE]\n\n"])


async def _once(body: bytes) -> AsyncGenerator[bytes, None]:
    yield body
