"""Whether answers come to the same: by their normalised form, by their embeddings, or as an expert judges."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coe.aggregators.asking import for_proposal
from coe.aggregators.choosing import normalised
from coe.aggregators.prompts import judgement
from coe.aggregators.proposals import sample
from coe.aggregators.run import Note, Run
from coe.errors import RequestError
from coe.plan.expert import Expert
from coe.plan.plans import ByJudge
from coe.plan.request import ChatRequest
from routers.prompts import last_words, user_turns

_YES = re.compile(r"\W*yes\b", re.IGNORECASE)
_VERDICT_TOKENS = 8


class Agreement(Protocol):
    """Finds the answer before that one comes to the same as."""

    async def same_as(self, text: str, others: Sequence[str]) -> int | None:
        """The place in `others`, distinct answers, that `text` agrees with; None where it says something else."""
        ...


class Embedder(Protocol):
    """Texts to unit vectors, off the event loop."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim) rows of length 1. Raises UnavailableError where the encoder cannot be asked."""
        ...


class SameAnswer:
    """Answers agree where they are the same once normalised."""

    async def same_as(self, text: str, others: Sequence[str]) -> int | None:
        wanted = normalised(text)
        return next((place for place, other in enumerate(others) if normalised(other) == wanted), None)


class NearEmbeddings:
    """Answers agree within a cosine distance; of several, with the nearest."""

    def __init__(self, embedder: Embedder, distance: float) -> None:
        self._embedder = embedder
        self._distance = distance

    async def same_as(self, text: str, others: Sequence[str]) -> int | None:
        if not others:
            return None
        vectors = await self._embedder.embed([text, *others])
        distances = 1.0 - vectors[1:] @ vectors[0]
        nearest = int(np.argmin(distances))
        return nearest if distances[nearest] <= self._distance else None


class Judged:
    """An expert is shown the question and two answers; what is no clear yes is a no."""

    def __init__(self, rule: ByJudge, expert: Expert, request: ChatRequest, run: Run) -> None:
        self._rule = rule
        self._expert = expert
        self._request = request
        self._run = run

    async def same_as(self, text: str, others: Sequence[str]) -> int | None:
        for place, other in enumerate(others):
            if await self._agree(other, text):
                return place
        return None

    async def _agree(self, first: str, second: str) -> bool:
        run = self._run
        member = replace(self._rule.judge, n=1, max_tokens=min(_VERDICT_TOKENS, self._rule.judge.max_tokens))
        words = judgement(self._rule.prompt, _question(self._request), first, second)
        bare = {
            name: value
            for name, value in self._request.fields.items()
            if name not in {"max_tokens", "max_completion_tokens", "stop"}
        }
        asked = for_proposal(
            replace(self._request, fields=bare),
            member,
            run.next_request_id(),
            temperature=0.0,
            messages=[{"role": "user", "content": words}],
        )
        until = min(run.deadline, asyncio.get_running_loop().time() + run.terms.proposal_timeout_s)
        try:
            (verdict,) = await sample(self._expert, asked, run, "judgement", until=until)
        except RequestError as error:
            run.note(Note("left_out", f"{member.expert}:{error.body.code or error.body.type}"))
            return False
        return _YES.match(verdict.text) is not None


def _question(request: ChatRequest) -> str:
    try:
        return last_words(user_turns(request.messages))
    except ValueError:  # nothing but images
        return ""
