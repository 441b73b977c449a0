"""One request under one plan while it runs: its deadline, what every call took, and what has to be told of it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from coe.aggregators.progress import Progress
from coe.plan.plans import Terms
from coe.sse import Usage
from coe.telemetry.metrics import PLAN_CALLS, PLAN_FALLBACKS, PLAN_LEFT_OUT, PLAN_TOKENS

_UNSAFE = re.compile(r"[^\w.:()/-]", re.ASCII)

Role: TypeAlias = Literal["proposal", "synthesis", "aggregation", "judgement", "score", "answer"]


@dataclass(frozen=True, slots=True)
class Call:
    """One engine request. `outcome` is `ok` or the code of its error; of one that was cut off, tokens are a minimum."""

    role: Role
    expert: str
    samples: int
    prompt_tokens: int
    completion_tokens: int
    seconds: float
    outcome: str = "ok"


@dataclass(frozen=True, slots=True)
class Note:
    """Something that was not done as planned. As a string it is safe in a header, whatever is in `detail`."""

    kind: Literal["left_out", "trimmed", "fallback", "budget", "context", "skipped"]
    detail: str

    def __str__(self) -> str:
        return f"{self.kind}={_UNSAFE.sub('?', self.detail)}"


class Run:
    """Made for one request; nodes write into it.

    `last_role`: what the call is for whose answer is passed on; None where the answer is of a call that is in the
    account already.
    """

    def __init__(self, label: str, terms: Terms, request_id: str, progress: Progress) -> None:
        self.label = label
        self.terms = terms
        self.progress = progress
        self.deadline = asyncio.get_running_loop().time() + terms.max_seconds
        self.swap_ms = 0.0
        self.last_role: Role | None = None
        self._request_id = request_id
        self._asked = 0
        self._calls: list[Call] = []
        self._notes: list[Note] = []

    @property
    def calls(self) -> Sequence[Call]:
        return self._calls

    @property
    def notes(self) -> Sequence[Note]:
        return self._notes

    @property
    def usage(self) -> Usage:
        """Of all calls together, as the engines counted."""
        return Usage(
            sum(call.prompt_tokens for call in self._calls), sum(call.completion_tokens for call in self._calls)
        )

    def next_request_id(self) -> str:
        """For a call before the last one, so that engines and logs tell the calls of one request apart."""
        self._asked += 1
        return f"{self._request_id}-{self._asked}"

    def add(self, call: Call) -> None:
        self._calls.append(call)
        PLAN_CALLS.labels(self.label, call.role).inc(call.samples)
        PLAN_TOKENS.labels(self.label, "prompt").inc(call.prompt_tokens)
        PLAN_TOKENS.labels(self.label, "completion").inc(call.completion_tokens)

    def note(self, note: Note) -> None:
        self._notes.append(note)
        match note.kind:
            case "left_out":
                PLAN_LEFT_OUT.labels(self.label).inc()
            case "fallback":
                PLAN_FALLBACKS.labels(self.label).inc()
            case _:
                pass
