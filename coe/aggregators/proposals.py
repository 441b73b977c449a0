"""What an engine streams of several samples: bytes in, the finished ones with their tokens out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import orjson

from coe.errors import ErrorBody, UpstreamError
from coe.plan.request import JsonValue
from coe.sse import FrameCutter, payloads

DONE = b"[DONE]"
_UNREADABLE = ErrorBody(
    "The engine streamed what is no chat completion chunk.", "server_error", None, "unreadable_answer"
)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """Natural logarithms of probabilities: of the token that was taken, and of the likeliest one at its place."""

    token: str
    logprob: float
    best: float


@dataclass(frozen=True, slots=True)
class Proposal:
    """One finished sample.

    Attributes:
        expert: who gave it.
        text: what it says; thinking is not part of it.
        tokens: that generated `text`, as the engine counted, or its share of them by length.
        prompt_tokens: of the request that it answers.
        finish_reason: the engine's.
        logprobs: by token, where they were asked for.
    """

    expert: str
    text: str
    tokens: int
    prompt_tokens: int = 0
    finish_reason: str = "stop"
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(slots=True)
class _Sample:
    pieces: list[str] = field(default_factory=list)
    thought_chars: int = 0
    tokens: int | None = None
    finish_reason: str | None = None
    logprobs: list[TokenLogprob] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    @property
    def chars(self) -> int:
        return self.thought_chars + sum(map(len, self.pieces))


class Samples:
    """The samples of one stream as far as they have come."""

    def __init__(self, wanted: int) -> None:
        self._samples = [_Sample() for _ in range(wanted)]
        self._prompt_tokens = 0
        self._total: int | None = None
        self._cutter = FrameCutter()

    def __len__(self) -> int:
        return len(self._samples)

    def feed(self, chunk: bytes) -> int:
        """Takes a piece of the stream; tells how many samples it finished. Raises UpstreamError at an error event."""
        return sum(self._take(payload) for payload in payloads(self._cutter.feed(chunk)))

    def rest(self) -> int:
        return sum(self._take(payload) for payload in payloads(self._cutter.rest()))

    @property
    def prompt_tokens(self) -> int:
        return self._prompt_tokens

    @property
    def completion_tokens(self) -> int:
        """As the engine counted; of a stream that was cut off, what it had counted until then."""
        if self._total is not None:
            return self._total
        return sum(sample.tokens or 0 for sample in self._samples)

    def finished(self, expert: str) -> list[Proposal]:
        """Those that came to their end and say something."""
        chars = sum(sample.chars for sample in self._samples)
        return [
            Proposal(
                expert,
                sample.text,
                self._tokens(sample, chars),
                self._prompt_tokens,
                sample.finish_reason,
                tuple(sample.logprobs),
            )
            for sample in self._samples
            if sample.finish_reason and sample.text.strip()
        ]

    def _tokens(self, sample: _Sample, chars: int) -> int:
        """Of the text alone: where the engine counts all samples together, or thinking with the text, by length."""
        if sample.tokens is None:
            return round(self.completion_tokens * len(sample.text) / chars)
        return round(sample.tokens * len(sample.text) / sample.chars)

    def _take(self, payload: bytes) -> int:
        if payload == DONE:
            return 0
        try:
            chunk = orjson.loads(payload)
            if "error" in chunk:
                raise _stream_error(chunk["error"])
            choices = chunk.get("choices") or []
            self._count(chunk.get("usage"), choices)
            return sum(self._add(choice) for choice in choices)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UpstreamError(503, _UNREADABLE) from error

    def _count(self, usage: Mapping[str, int] | None, choices: Sequence[Mapping[str, JsonValue]]) -> None:
        if not usage:
            return
        self._prompt_tokens = usage["prompt_tokens"]
        if not choices:
            self._total = usage["completion_tokens"]
        elif isinstance(place := choices[0].get("index"), int) and place < len(self._samples):
            self._samples[place].tokens = usage["completion_tokens"]

    def _add(self, choice: Mapping[str, JsonValue]) -> int:
        place = choice.get("index")
        if not isinstance(place, int) or place >= len(self._samples):
            return 0
        sample = self._samples[place]
        if isinstance(delta := choice.get("delta"), dict):
            if isinstance(text := delta.get("content"), str):
                sample.pieces.append(text)
            if isinstance(thought := delta.get("reasoning_content") or delta.get("reasoning"), str):
                sample.thought_chars += len(thought)
        sample.logprobs += _logprobs(choice.get("logprobs"))
        if not isinstance(reason := choice.get("finish_reason"), str) or sample.finish_reason:
            return 0
        sample.finish_reason = reason
        return 1


def _logprobs(found: JsonValue) -> list[TokenLogprob]:
    content = found.get("content") if isinstance(found, dict) else None
    return [_token(entry) for entry in content or () if isinstance(entry, dict)] if isinstance(content, list) else []


def _token(entry: dict[str, JsonValue]) -> TokenLogprob:
    own = _number(entry.get("logprob"))
    top = entry.get("top_logprobs")
    others = [_number(each.get("logprob")) for each in top if isinstance(each, dict)] if isinstance(top, list) else []
    return TokenLogprob(str(entry.get("token")), own, max([own, *others]))


def _number(value: JsonValue) -> float:
    return float(value) if isinstance(value, int | float) else float("-inf")


def _stream_error(error: Mapping[str, str | None]) -> UpstreamError:
    body = ErrorBody(
        str(error.get("message")), str(error.get("type", "server_error")), error.get("param"), error.get("code")
    )
    return UpstreamError(400 if body.type == "invalid_request_error" else 503, body)
