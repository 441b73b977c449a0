"""What every node of a plan is: something that answers a request, at once or as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Protocol

from coe.plan.request import ChatRequest

NO_EXPERT = "null"
"""Stands in an answer's `expert` where none was asked."""


class CallRecord(Protocol):
    """One engine request of a plan."""

    @property
    def expert(self) -> str: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...


class PlanRecord(Protocol):
    """What became of a plan, as far as it has come."""

    @property
    def calls(self) -> Sequence[CallRecord]: ...
    @property
    def notes(self) -> Sequence[object]:
        """What was not done as planned; as strings they are ASCII."""
        ...


@dataclass(slots=True)
class Answer:
    """An answer under way.

    `chunks` yields the JSON body of a complete answer, or server-sent events in arbitrary pieces. Whoever holds the
    answer closes `chunks`; closing it early stops the generation in the engine.

    Attributes:
        expert: the expert that answers.
        streamed: whether `chunks` are server-sent events.
        swap_ms: time the request waited for its expert to become resident.
        cache: `hit` or `miss` where the response cache was asked.
        run: the record of a plan with more than one call.
    """

    expert: str
    streamed: bool
    chunks: AsyncGenerator[bytes, None]
    swap_ms: float = 0.0
    cache: str | None = None
    run: PlanRecord | None = None


class Expert(Protocol):
    """Answers requests. Experts that wrap experts have this same shape."""

    @property
    def name(self) -> str: ...

    async def answer(self, request: ChatRequest) -> Answer:
        """Returns as soon as the answer has begun.

        Raises:
            RequestError: nothing of the answer exists; the error carries its HTTP form.
        """
        ...
