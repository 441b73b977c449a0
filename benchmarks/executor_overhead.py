"""What a plan costs the gateway itself: plans over experts that answer at once in, milliseconds per node out.

A node is one engine request of the plan. Its time holds all that the gateway does for it, reading the stream of its
tokens included; nothing waits for an engine.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator

import orjson

from coe.aggregators.prompts import own_prompt
from coe.config.models import OWN_PLANS
from coe.plan.building import ExpertFacts, Found, PlanPrompts
from coe.plan.executor import Executor
from coe.plan.expert import Answer
from coe.plan.options import PlanOptions
from coe.plan.planner import Planner
from coe.plan.request import ChatRequest

PLANS = ("self-moa", "moa", "self-moa-seq", "vote", "cascade")
_EXPERTS = ("first", "second", "third")
_TOKENS = 64
_WARM_UP = 20


class InstantExpert:
    """Says the same 64 tokens in every sample, one frame a token, as vLLM writes them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._frames: dict[int, bytes] = {}
        message = {"role": "assistant", "content": "word " * _TOKENS}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._body = orjson.dumps({"id": "c", "model": name, "choices": [choice], "usage": _usage(_TOKENS)})

    async def answer(self, request: ChatRequest) -> Answer:
        n = request.fields.get("n")
        chunks = self._stream(n if isinstance(n, int) else 1) if request.stream else self._whole()
        return Answer(self.name, request.stream, chunks)

    async def _whole(self) -> AsyncGenerator[bytes, None]:
        yield self._body

    async def _stream(self, n: int) -> AsyncGenerator[bytes, None]:
        if n not in self._frames:
            self._frames[n] = b"".join(self._written(n))
        yield self._frames[n]

    def _written(self, n: int) -> list[bytes]:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": self.name}
        frames = [
            {**head, "choices": [_choice(place, token)], "usage": _usage(token)}
            for token in range(1, _TOKENS + 1)
            for place in range(n)
        ]
        frames.append({**head, "choices": [], "usage": _usage(n * _TOKENS)})
        return [*(b"data: " + orjson.dumps(frame) + b"\n\n" for frame in frames), b"data: [DONE]\n\n"]


def _choice(place: int, token: int) -> dict[str, object]:
    reason = "stop" if token == _TOKENS else None
    return {"index": place, "delta": {"content": "word "}, "logprobs": None, "finish_reason": reason}


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": 50, "completion_tokens": tokens, "total_tokens": 50 + tokens}


async def node_times(plan: str, requests: int) -> list[float]:
    """Milliseconds per node, of each of `requests` streamed requests one after another."""
    executor = Executor({name: InstantExpert(name) for name in _EXPERTS})
    prompts = PlanPrompts(own_prompt("aggregate"), own_prompt("judge"))
    planner = Planner(
        {name: (settings, prompts) for name, settings in OWN_PLANS.items()},
        {},
        {name: ExpertFacts("base", max_tokens=_TOKENS, context=4096) for name in _EXPERTS},
    )
    options = PlanOptions(plan=plan)
    request = ChatRequest(
        request_id="r",
        model="coe",
        stream=True,
        include_usage=True,
        temperature=None,
        cache=None,
        fields={"messages": [{"role": "user", "content": "Why is the sky blue?"}], "stream": True},
        options=options,
    )
    found: list[float] = []
    for _ in range(_WARM_UP + requests):
        started = time.perf_counter()
        answer = await executor.run(planner.plan(Found("first"), options), request)
        async for _chunk in answer.chunks:
            pass
        elapsed_ms = (time.perf_counter() - started) * 1000
        assert answer.run is not None
        found.append(elapsed_ms / len(answer.run.calls))
    return found[_WARM_UP:]
