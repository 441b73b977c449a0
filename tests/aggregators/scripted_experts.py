"""Experts that say what a test tells them, in vLLM's bytes, and a plan over them that is run to its end."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import orjson

from coe.aggregators.gathering import Residency
from coe.aggregators.progress import Progress
from coe.aggregators.run import Run
from coe.errors import RequestError
from coe.plan.executor import Executor
from coe.plan.expert import Answer
from coe.plan.options import PlanOptions
from coe.plan.plans import Member, Moa, Plan, Terms
from coe.plan.request import ChatRequest, JsonValue
from coe.sse import payloads

TERMS = Terms(max_calls=32, max_tokens=4096, max_seconds=20.0)
PROMPT = "Merge these.\n\n$proposals"
PROMPT_TOKENS = 10
DONE = b"data: [DONE]\n\n"


def request(text: str = "Why?", *, options: PlanOptions | None = None, **fields: JsonValue) -> ChatRequest:
    stream = fields.get("stream") is True
    return ChatRequest(
        request_id="r",
        model="coe",
        stream=stream,
        include_usage=True,
        temperature=None,
        cache=None,
        fields={"messages": [{"role": "user", "content": text}], **fields},
        options=options or PlanOptions(),
    )


def member(expert: str, n: int = 1, *, model: str = "base", max_tokens: int = 64, context: int | None = None) -> Member:
    return Member(expert=expert, model=model, max_tokens=max_tokens, n=n, context=context)


def self_moa(n: int = 3, *, terms: Terms = TERMS, aggregator: str = "poet", **more: Any) -> Moa:
    """Self-MoA on the poet."""
    return Moa(
        label="self-moa",
        proposers=(member("poet", n),),
        aggregator=member(aggregator, **more),
        prompt=PROMPT,
        terms=terms,
    )


def make_run(terms: Terms = TERMS, progress: Progress | None = None) -> Run:
    return Run("self-moa", terms, "r", progress or Progress(None, "r", "poet"))


@dataclass(eq=False)
class ScriptedExpert:
    """Says its texts in turn, a word a token. `asked`, `running` and `closed` tell what became of its requests.

    Attributes:
        error: raised instead of an answer; with `errors_after`, only from that request on.
        stalls: answers begin only after `release`, or with `stalls_after_words`, stop after as many.
        logprobs: by word; of other words -1.
        journal: `+name` where it is asked and `-name` where its answer ends.
    """

    name: str
    texts: tuple[str, ...] = ("yes",)
    error: RequestError | None = None
    errors_after: int = 0
    stalls: bool = False
    stalls_after_words: int | None = None
    logprobs: Mapping[str, float] = field(default_factory=dict)
    journal: list[str] = field(default_factory=list)
    asked: list[ChatRequest] = field(default_factory=list)
    running: int = 0
    closed: int = 0

    def __post_init__(self) -> None:
        self._next = itertools.cycle(self.texts)
        self._released = asyncio.Event()

    def release(self) -> None:
        self._released.set()

    async def answer(self, request: ChatRequest) -> Answer:
        self.asked.append(request)
        self.journal.append(f"+{self.name}")
        if self.error and len(self.asked) > self.errors_after:
            raise self.error
        self.running += 1
        try:
            if self.stalls:
                await self._released.wait()
        except BaseException:  # also a cancellation, which tests look for here
            self.running -= 1
            raise
        return Answer(self.name, request.stream, self._chunks(request))

    async def _chunks(self, request: ChatRequest) -> AsyncGenerator[bytes, None]:
        n = request.fields.get("n")
        texts = [next(self._next) for _ in range(n if isinstance(n, int) else 1)]
        try:
            if not request.stream:
                yield self._body(texts, request)
                return
            for word, frame in enumerate(self._frames(texts)):
                if word == self.stalls_after_words:
                    await self._released.wait()
                yield frame
                await asyncio.sleep(0)
        finally:
            self.running -= 1
            self.closed += 1
            self.journal.append(f"-{self.name}")

    def _body(self, texts: list[str], request: ChatRequest) -> bytes:
        choices = [
            {"index": place, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            for place, text in enumerate(texts)
        ]
        prompt = None
        if request.fields.get("prompt_logprobs") is not None:
            said = str(request.messages[-1]["content"])  # type: ignore[index,call-overload]  # a message of its own
            words = [f"<{place}>" for place in range(PROMPT_TOKENS)] + said.split(" ")
            prompt = [{str(place): {"logprob": self.logprobs.get(word, -1.0)}} for place, word in enumerate(words)]
        usage = _usage(sum(len(text.split(" ")) for text in texts))
        return orjson.dumps(
            {"id": "c", "model": self.name, "choices": choices, "usage": usage, "prompt_logprobs": prompt}
        )

    def _frames(self, texts: list[str]) -> list[bytes]:
        frames = []
        for place, text in enumerate(texts):
            words = text.split(" ")
            for number, word in enumerate(words, 1):
                piece = word if number == len(words) else f"{word} "
                last = number == len(words)
                choice = {"index": place, "delta": {"content": piece}, "finish_reason": "stop" if last else None}
                logprob = {"token": piece, "logprob": self.logprobs.get(word, -1.0), "top_logprobs": []}
                frames.append(self._frame([{**choice, "logprobs": {"content": [logprob]}}], number))
        return [*frames, self._frame([], sum(len(text.split(" ")) for text in texts)), DONE]

    def _frame(self, choices: list[dict[str, object]], tokens: int) -> bytes:
        chunk = {"id": "c", "object": "chat.completion.chunk", "model": self.name, "choices": choices}
        return b"data: " + orjson.dumps({**chunk, "usage": _usage(tokens)}) + b"\n\n"


@dataclass(slots=True)
class Away:
    """Experts that are not resident; the others are."""

    experts: set[str] = field(default_factory=set)

    def is_resident(self, expert: str) -> bool:
        return expert not in self.experts


@dataclass(frozen=True, slots=True)
class Told:
    """A reply, read to its end."""

    answer: Answer
    chunks: tuple[bytes, ...]

    @property
    def body(self) -> Any:
        return orjson.loads(b"".join(self.chunks))

    @property
    def events(self) -> list[Any]:
        """What the frames of a stream carry, without its end."""
        found = payloads(b"".join(self.chunks))
        assert found[-1] == b"[DONE]"
        return [orjson.loads(payload) for payload in found[:-1]]

    @property
    def text(self) -> str:
        if not self.answer.streamed:
            return str(self.body["choices"][0]["message"]["content"])
        choices = [choice for event in self.events for choice in event["choices"]]
        return "".join(choice["delta"].get("content") or "" for choice in choices)

    @property
    def usage(self) -> Any:
        return self.body["usage"] if not self.answer.streamed else self.events[-1]["usage"]

    @property
    def notes(self) -> list[str]:
        assert self.answer.run is not None
        return [str(note) for note in self.answer.run.notes]


async def tell(
    plan: Plan, asked: ChatRequest, *experts: ScriptedExpert, residency: Residency | None = None, **options: Any
) -> Told:
    """Runs a plan to its end."""
    executor = Executor({expert.name: expert for expert in experts}, residency=residency, **options)
    answer = await executor.run(plan, asked)
    return Told(answer, tuple([chunk async for chunk in answer.chunks]))


def with_terms(plan: Moa, **changes: Any) -> Moa:
    return replace(plan, terms=replace(plan.terms, **changes))


def _usage(tokens: int) -> dict[str, int]:
    return {"prompt_tokens": PROMPT_TOKENS, "completion_tokens": tokens, "total_tokens": PROMPT_TOKENS + tokens}
