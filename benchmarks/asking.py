"""A running service is asked: prompts go in, answers with who gave them come out, in the order of the prompts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import httpx

_DEADLINE_S = 600.0
_BUSY = frozenset({429, 503})
_RETRIES, _RETRY_S = 10, 2.0
_READY_S = 300.0


class AskingError(Exception):
    """The service is away or answered with an error."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One reply.

    Attributes:
        expert: as the service's headers name it; so is `category`.
        tokens: generated, by all calls.
        calls: generations; more than one where a plan made the answer.
        notes: what the plan did not do as planned.
    """

    text: str
    expert: str
    category: str | None
    tokens: int
    calls: int = 1
    notes: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Pass:
    """All answers of one model name, and the seconds from the first request to the last reply."""

    answers: Sequence[Answer]
    seconds: float

    @property
    def tokens_per_s(self) -> float:
        return sum(answer.tokens for answer in self.answers) / self.seconds


def ask_all(
    url: str, model: str, prompts: Sequence[str], *, max_tokens: int, together: int, progress: Callable[[int], None]
) -> Pass:
    """Ask every prompt greedily, `together` at a time; `progress` is told how many are done. Raises AskingError."""
    try:
        return asyncio.run(_ask_all(url, model, prompts, max_tokens=max_tokens, together=together, progress=progress))
    except ExceptionGroup as errors:  # the task group's; one failed request ends all, so the first says what is wrong
        if isinstance(first := errors.exceptions[0], AskingError):
            raise first from errors
        raise


async def _ask_all(
    url: str, model: str, prompts: Sequence[str], *, max_tokens: int, together: int, progress: Callable[[int], None]
) -> Pass:
    places = asyncio.Semaphore(together)
    done = 0

    async def ask(prompt: str) -> Answer:
        nonlocal done
        async with places:
            answer = await _ask(client, model, prompt, max_tokens)
        done += 1
        progress(done)
        return answer

    limits = httpx.Limits(max_connections=together)
    async with httpx.AsyncClient(base_url=url, timeout=_DEADLINE_S, limits=limits) as client:
        started = time.monotonic()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(ask(prompt)) for prompt in prompts]
        return Pass([task.result() for task in tasks], time.monotonic() - started)


async def _ask(client: httpx.AsyncClient, model: str, prompt: str, max_tokens: int) -> Answer:
    body = {
        "model": model,
        "messages": [{"role": "user", "content": prompt}],
        "temperature": 0,
        "max_tokens": max_tokens,
        "coe": {"cache": "off", "usage": "calls"},
    }
    try:
        reply = await client.post("/v1/chat/completions", json=body)
        for _ in range(_RETRIES):
            if reply.status_code not in _BUSY:
                break
            await asyncio.sleep(_RETRY_S)
            reply = await client.post("/v1/chat/completions", json=body)
        reply.raise_for_status()
    except httpx.HTTPStatusError as error:
        raise AskingError(f"{model} answered {error.response.status_code}: {error.response.text[:300]}") from error
    except httpx.HTTPError as error:
        raise AskingError(f"{model} does not answer: {error!r}") from error
    content = reply.json()
    plan = content.get("coe", {"calls": [], "notes": []})
    return Answer(
        text=content["choices"][0]["message"]["content"] or "",
        expert=reply.headers["x-coe-expert"],
        category=reply.headers.get("x-coe-category"),
        tokens=content["usage"]["completion_tokens"],
        calls=sum(call["samples"] for call in plan["calls"]) or 1,
        notes=plan["notes"],
    )


def wait_until_ready(url: str, experts: Collection[str]) -> None:
    """Return when every one of `experts` can answer. Raises AskingError."""
    deadline = time.monotonic() + _READY_S
    while True:
        try:
            states = httpx.get(f"{url}/ready", timeout=30).json()["experts"]
        except (httpx.HTTPError, ValueError, KeyError) as error:
            raise AskingError(f"no service answers at {url} ({error!r}): start it with `make serve`") from error
        if unknown := set(experts) - set(states):
            raise AskingError(f"the service at {url} has no expert {', '.join(sorted(unknown))}")
        late = [name for name in experts if states[name] != "ready"]
        if not late:
            return
        if time.monotonic() > deadline:
            raise AskingError(f"not ready after {_READY_S:g} s: {', '.join(late)}; see `coe ps`")
        time.sleep(1.0)


def active_params_b(url: str) -> dict[str, float]:
    """Active parameters in billions by expert, as `/v1/models` tells them. Raises AskingError."""
    try:
        models = httpx.get(f"{url}/v1/models", timeout=30).raise_for_status().json()["data"]
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise AskingError(f"no service answers at {url} ({error!r}): start it with `make serve`") from error
    return {model["id"]: model["active_params_b"] for model in models if model.get("active_params_b")}
