"""What every node of a plan is: something that answers a request, at once or as a stream."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from coe.plan.request import ChatRequest


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
    """

    expert: str
    streamed: bool
    chunks: AsyncGenerator[bytes, None]
    swap_ms: float = 0.0
    cache: str | None = None


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
