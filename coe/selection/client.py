"""Measures candidate experts over HTTP: a running service and examples go in, observed candidates come out.

Two requests a row, both to `/v1/chat/completions` with the expert's own name as model: one asks for the answer, greedy;
one gives the reference completion as the assistant's message under way (`continue_final_message`) and asks for the
likelihood of every token of this prompt (`prompt_logprobs`, vLLM's). The first reply counts the tokens before the
answer, so that only those of the completion are taken from the second.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from coe.errors import InvalidRequestError, StartupError
from coe.selection.checks import Check, final_answer, is_right, normalised
from coe.selection.scoring import Candidate, Observation
from coe.selection.shots import Shot

CHAT = "/v1/chat/completions"
ROUTED_MODEL = "coe"
SHOWN_CHARS = 500
BUSY = frozenset({429, 503})
Model = TypeVar("Model", bound=BaseModel)
Progress = Callable[[str, int, int], None]
"""Told (expert, rows done, rows of all)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How experts are asked. `deadline_s` bounds each request, with the waiting while the service is busy."""

    check: Check = "exact"
    max_tokens: int = 256
    concurrency: int = 8
    deadline_s: float = 120.0


class _Known(BaseModel):
    id: str


class _Models(BaseModel):
    data: list[_Known]


class _Message(BaseModel):
    content: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int


class _Token(BaseModel):
    logprob: float


class _Reply(BaseModel):
    choices: list[_Choice]
    usage: _Usage
    prompt_logprobs: list[dict[str, _Token] | None] | None = None


async def measure(
    client: httpx.AsyncClient, experts: Sequence[str], shots: Sequence[Shot], asking: Asking, progress: Progress
) -> list[Candidate]:
    """Asks every expert every row, one expert after another, `asking.concurrency` requests at a time.

    Args:
        client: with the service's address as its base URL.
        experts: names that differ.
        shots: at least one.
        asking: the check and the limits.
        progress: told after each row.

    Raises:
        InvalidRequestError: the service has no such expert.
        StartupError: the service is away, refuses, answers too late, or gives no likelihoods.
    """
    known = [model.id for model in (await _models(client)).data if model.id.partition("/")[0] != ROUTED_MODEL]
    if unknown := [name for name in experts if name not in known]:
        listed = ", ".join(f"`{name}`" for name in unknown)
        raise InvalidRequestError(f"The service has no expert {listed}; it has: {', '.join(known)}.", param="model")
    return [await _measure_expert(client, expert, shots, asking, progress) for expert in experts]


async def _measure_expert(
    client: httpx.AsyncClient, expert: str, shots: Sequence[Shot], asking: Asking, progress: Progress
) -> Candidate:
    places = asyncio.Semaphore(asking.concurrency)
    done = 0

    async def observe(shot: Shot) -> Observation:
        nonlocal done
        async with places:
            observation = await _observe(client, expert, shot, asking)
        done += 1
        progress(expert, done, len(shots))
        return observation

    progress(expert, 0, len(shots))
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(observe(shot)) for shot in shots]
    except ExceptionGroup as errors:  # the task group's: all rows fail of one cause, and one sentence says it
        raise errors.exceptions[0] from errors
    return Candidate(expert, tuple(task.result() for task in tasks))


async def _observe(client: httpx.AsyncClient, expert: str, shot: Shot, asking: Asking) -> Observation:
    question = [asdict(message) for message in shot.messages]
    common = {"model": expert, "temperature": 0, "coe": {"cache": "off"}}
    answered = await _chat(client, asking, {**common, "messages": question, "max_tokens": asking.max_tokens})
    scored = await _chat(
        client,
        asking,
        {
            **common,
            "messages": [*question, {"role": "assistant", "content": shot.completion}],
            "add_generation_prompt": False,
            "continue_final_message": True,
            "max_tokens": 1,
            "prompt_logprobs": 0,
        },
    )
    text = (answered.choices[0].message.content or "") if answered.choices else ""
    return Observation(
        text=normalised(text),
        final=final_answer(asking.check, text),
        right=is_right(asking.check, text, shot.reference),
        nll=_completion_nll(expert, scored, answered.usage.prompt_tokens),
    )


def _completion_nll(expert: str, scored: _Reply, prompt_tokens: int) -> float:
    """Mean negative log-likelihood of the tokens after the first `prompt_tokens`, in nats."""
    tokens = (scored.prompt_logprobs or [])[prompt_tokens:]
    logprobs = [next(iter(token.values())).logprob for token in tokens if token]
    if not logprobs:
        raise StartupError(
            f"The expert `{expert}` gave no `prompt_logprobs` of the reference completion. Only experts that vLLM "
            "serves give them; leave this one out."
        )
    return -math.fsum(logprobs) / len(logprobs)


async def _models(client: httpx.AsyncClient) -> _Models:
    try:
        return _read(_Models, await client.get("/v1/models"))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _away(client, error) from error


async def _chat(client: httpx.AsyncClient, asking: Asking, body: dict[str, object]) -> _Reply:
    response: httpx.Response | None = None
    try:
        async with asyncio.timeout(asking.deadline_s):
            response = await client.post(CHAT, json=body)
            while response.status_code in BUSY:
                await asyncio.sleep(_retry_after_s(response))
                response = await client.post(CHAT, json=body)
    except TimeoutError as error:
        last = f" It last said {response.status_code}: {response.text[:SHOWN_CHARS]}" if response else ""
        raise StartupError(
            f"{client.base_url} gave no answer of `{body['model']}` within {asking.deadline_s:g} s; give a longer "
            f"--deadline, or fewer --max-tokens.{last}"
        ) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _away(client, error) from error
    return _read(_Reply, response)


def _retry_after_s(response: httpx.Response) -> float:
    given = response.headers.get("retry-after", "")
    return float(given) if given.isdecimal() else 1.0


def _read(kind: type[Model], response: httpx.Response) -> Model:
    if response.is_error:
        raise StartupError(f"{response.url} answered {response.status_code}: {response.text[:SHOWN_CHARS]}")
    try:
        return kind.model_validate_json(response.content)
    except ValidationError as error:
        raise StartupError(f"{response.url} answers in another form than this service; check --url.") from error


def _away(client: httpx.AsyncClient, error: Exception) -> StartupError:
    return StartupError(f"No service answers at {client.base_url} ({error}); start it with `coe serve`, or give --url.")
