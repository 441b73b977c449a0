"""Questions to a running service over its API, as a client asks them: an address in, the answer and its headers out."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

QUESTION = "A box holds 12 eggs. Tom has 3 boxes and eats 5 eggs. How many are left?"
CATEGORY = "arithmetic"
TIMEOUT_S = 120.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Of one chat request."""

    status: int
    category: str | None
    expert: str | None
    text: str
    pieces: int = 1


def ask(url: str) -> Answer:
    """One complete answer."""
    reply = httpx.post(f"{url}/v1/chat/completions", json=_body(stream=False), timeout=TIMEOUT_S)
    text = reply.json()["choices"][0]["message"]["content"] if reply.status_code == 200 else reply.text
    return Answer(reply.status_code, *_chosen(reply.headers), text=text)


def ask_streamed(url: str) -> Answer:
    """One answer, read as it comes; the text is empty where the stream did not end as one should."""
    pieces: list[str] = []
    complete = False
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=_body(stream=True), timeout=TIMEOUT_S) as reply:
        for line in reply.iter_lines():
            data = line.removeprefix("data: ")
            if data == "[DONE]":
                complete = True
            elif line.startswith("data: "):
                pieces += [choice["delta"].get("content") or "" for choice in json.loads(data)["choices"]]
    told = [piece for piece in pieces if piece]
    return Answer(reply.status_code, *_chosen(reply.headers), text="".join(told) if complete else "", pieces=len(told))


def answers(url: str) -> bool:
    """Whether a question gets an answer now."""
    try:
        return ask(url).status == 200
    except httpx.HTTPError:
        return False


@dataclass(slots=True)
class Asked:
    """What came of questions that were asked one after another."""

    answered: int = 0
    failures: list[str] = field(default_factory=list)


@contextmanager
def asking_meanwhile(url: str) -> Iterator[Asked]:
    """Asks without pause, one question after another, while the block runs."""
    asked, stop = Asked(), threading.Event()

    def go() -> None:
        while not stop.is_set():
            try:
                answer = ask(url)
            except httpx.HTTPError as error:
                asked.failures.append(repr(error))
                time.sleep(0.2)
                continue
            if answer.status == 200:
                asked.answered += 1
            else:
                asked.failures.append(f"{answer.status}: {answer.text[:200]}")

    thread = threading.Thread(target=go)
    thread.start()
    try:
        yield asked
    finally:
        stop.set()
        thread.join()


def _body(*, stream: bool) -> dict[str, object]:
    messages = [{"role": "user", "content": QUESTION}]
    return {"model": "coe", "messages": messages, "max_tokens": 48, "temperature": 0, "stream": stream}


def _chosen(headers: httpx.Headers) -> tuple[str | None, str | None]:
    return headers.get("x-coe-category"), headers.get("x-coe-expert")
