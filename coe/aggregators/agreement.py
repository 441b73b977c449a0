"""Which answers come to the same: by their normalised form, and where those differ by embedding or by a judge."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from coe.aggregators.answers import comparable
from coe.aggregators.asking import for_proposal
from coe.aggregators.prompts import judgement
from coe.aggregators.run import Note, Run
from coe.aggregators.sampling import sample
from coe.errors import RequestError
from coe.plan.expert import Expert
from coe.plan.plans import ByJudge
from coe.plan.request import ChatRequest
from routers.prompts import last_words, user_turns

_YES = re.compile(r"\W*yes\b", re.IGNORECASE)
VERDICT_TOKENS = 8


class Likeness(Protocol):
    """Compares answers whose forms differ."""

    async def same_as(self, text: str, others: Sequence[str]) -> int | None:
        """The place in `others`, one or more, that `text` agrees with; None where it says something else."""
        ...


class Embedder(Protocol):
    """Texts to unit vectors, off the event loop."""

    async def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, dim) rows of length 1. Raises UnavailableError where the encoder cannot be asked."""
        ...


class Groups:
    """Answers as they come in. Each is compared with the first of a group alone."""

    def __init__(self, likeness: Likeness | None) -> None:
        self._likeness = likeness
        self._forms: list[str] = []
        self._texts: list[str] = []

    async def add(self, text: str) -> int | None:
        """The number of the group that says the same, a new one included; None where `text` says nothing."""
        form = comparable(text)
        if form is None:
            return None
        if form in self._forms:
            return self._forms.index(form)
        place = await self._likeness.same_as(text, self._texts) if self._likeness and self._texts else None
        if place is not None:
            return place
        self._forms.append(form)
        self._texts.append(text)
        return len(self._forms) - 1


class NearEmbeddings:
    """Answers agree within a cosine distance; of several, with the nearest."""

    def __init__(self, embedder: Embedder, distance: float, run: Run) -> None:
        self._embedder = embedder
        self._distance = distance
        self._run = run

    async def same_as(self, text: str, others: Sequence[str]) -> int | None:
        try:
            vectors = await self._embedder.embed([text, *others])
        except RequestError as error:  # as a judge that fails: the answers are taken to differ
            self._run.note(Note("left_out", f"embedding:{error.body.code or error.body.type}"))
            return None
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
        member = replace(self._rule.judge, n=1, max_tokens=min(VERDICT_TOKENS, self._rule.judge.max_tokens))
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
