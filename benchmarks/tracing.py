"""What traces cost the gateway: `python -m benchmarks.tracing [--requests N] [--rounds N] [--json]`.

The gateway's own way from a request's arrival to its last byte, over a router and an expert that answer at once, with
no socket but the one to the collector. In turns: without a collector, with one where nothing is sampled, and with one
that takes every span. Out: a table (or JSON) of the process's CPU time per request, medians over the rounds; sending
spans, in a thread of its own, counts too. Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from starlette.types import ASGIApp, Message

from benchmarks import stub_upstream
from benchmarks.machine import Machine, describe_machine
from benchmarks.markdown import machine_lines, table
from benchmarks.programs import Program, ProgramError, free_port, running, say
from benchmarks.running import run
from coe.aggregators.prompts import own_prompt
from coe.config.models import OWN_PLANS
from coe.gateway.chat import ChatEndpoint, ChatLimits
from coe.gateway.decision import Decider
from coe.gateway.demand_counter import DemandCounter
from coe.gateway.envelope import Envelope
from coe.plan.building import ExpertFacts, PlanPrompts
from coe.plan.executor import Executor
from coe.plan.expert import Answer
from coe.plan.planner import Planner
from coe.plan.request import ChatRequest
from coe.routing import Routed, RouterCard
from coe.store.client import open_redis
from coe.store.demand import DemandCounts
from coe.telemetry.logs import configure_logs
from coe.tracing.export import Spans
from coe.tracing.gateway import TracedGateway
from coe.tracing.hooks import GatewayTracing, NoTracing
from routers.router import Classification

TOKENS = 64
OFF, UNSAMPLED, ALL = "off", "nothing sampled", "everything traced"
ASKED: Mapping[str, Mapping[str, object]] = {
    "one call": {"model": "coe"},
    f"one call, {TOKENS} tokens streamed": {"model": "coe", "stream": True},
    "Self-MoA, streamed": {"model": "coe/self-moa", "stream": True},
}
_WARM_UP = 50
_SENT_S = 30.0
_CARD = RouterCard("0", ("any",), 0.05)
_FOUND = Classification("any", 0.9, abstained=False, in_scope=0.9, probabilities={"any": 0.9})


@dataclass(frozen=True, slots=True)
class Report:
    """Microseconds of CPU time per request, by what is asked and by what is traced."""

    machine: Machine
    requests: int
    rounds: int
    cpu_us: dict[str, dict[str, float]]


class InstantExpert:
    """Says 64 tokens, one chunk a token where it streams."""

    name = "expert"

    def __init__(self) -> None:
        head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": self.name}
        usage = {"prompt_tokens": 32, "completion_tokens": TOKENS, "total_tokens": 32 + TOKENS}
        message = {"role": "assistant", "content": "word " * TOKENS}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        self._body = orjson.dumps({**head, "choices": [choice], "usage": usage})
        deltas: list[Mapping[str, object]] = [
            {"index": 0, "delta": {"content": "word "}, "finish_reason": "stop" if place == TOKENS else None}
            for place in range(1, TOKENS + 1)
        ]
        frames = [*({**head, "choices": [delta]} for delta in deltas), {**head, "choices": [], "usage": usage}]
        self._frames = [*(b"data: " + orjson.dumps(frame) + b"\n\n" for frame in frames), b"data: [DONE]\n\n"]

    async def answer(self, request: ChatRequest) -> Answer:
        return Answer(self.name, request.stream, self._chunks([*self._frames] if request.stream else [self._body]))

    async def _chunks(self, chunks: Sequence[bytes]) -> AsyncGenerator[bytes, None]:
        for chunk in chunks:
            yield chunk


class InstantRouter:
    """Sends everything to the one expert."""

    async def route(self, turns: Sequence[str]) -> Routed:  # noqa: ARG002  # the shape of PromptRouter
        return Routed(_FOUND, InstantExpert.name, _CARD)

    async def card(self) -> RouterCard:
        return _CARD


class Resident:
    """Everything is there."""

    def is_resident(self, expert: str) -> bool:  # noqa: ARG002  # the shape of Residents
        return True

    def has_room(self, expert: str) -> bool:  # noqa: ARG002  # the same
        return True


def make_app(tracing: GatewayTracing) -> ASGIApp:
    """The gateway's chat endpoint under its envelope, wrapped as a real one is."""
    prompts = PlanPrompts(own_prompt("aggregate"), own_prompt("judge"))
    plans = {name: (settings, prompts) for name, settings in OWN_PLANS.items()}
    planner = Planner(plans, {}, {InstantExpert.name: ExpertFacts("base", max_tokens=TOKENS, context=4096)})
    decider = Decider(tracing.router(InstantRouter()), [InstantExpert.name], InstantExpert.name, Resident(), planner)
    runner = tracing.runner(Executor({InstantExpert.name: tracing.expert(InstantExpert())}))
    demand = DemandCounter(DemandCounts(open_redis("redis://127.0.0.1:9"), "unused"))
    chat = ChatEndpoint(decider, runner, ChatLimits(10**6, 100, 10.0), demand)
    return tracing.app(Envelope(chat, 60.0, lambda _: None, repeats_id=False))


async def ask(app: ASGIApp, body: bytes) -> bytes:
    """One request, as a server would hand it over; the reply's body."""
    arrived = False
    found: list[bytes] = []

    async def receive() -> Message:
        nonlocal arrived
        if arrived:
            await asyncio.get_running_loop().create_future()  # the client stays
        arrived = True
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        found.append(message.get("body", b""))

    headers = [(b"content-type", b"application/json"), (b"host", b"localhost")]
    scope: dict[str, Any] = {"type": "http", "method": "POST", "path": "/v1/chat/completions", "headers": headers}
    await app(scope, receive, send)
    return b"".join(found)


async def cpu_us(tracing: GatewayTracing, asked: Mapping[str, object], requests: int) -> float:
    """Of this process per request, in microseconds; what is traced is sent within it."""
    app = make_app(tracing)
    body = orjson.dumps({"messages": [{"role": "user", "content": "Why is the sky blue?"}], **asked})
    for _ in range(_WARM_UP):
        await ask(app, body)
    began = time.process_time()
    for _ in range(requests):
        await ask(app, body)
    await tracing.close(_SENT_S)
    return (time.process_time() - began) / requests * 1e6


def measure(requests: int, rounds: int) -> Report:
    """Raises ProgramError."""
    machine = describe_machine()
    found: dict[str, dict[str, list[float]]] = {name: {OFF: [], UNSAMPLED: [], ALL: []} for name in ASKED}
    with tempfile.TemporaryDirectory(prefix="coe-benchmark-") as folder:
        configure_logs(Path(folder) / "coe.log", "info", "gateway")
        port = free_port()
        collector = Program(
            name="collector", command=stub_upstream.command(port), ready_url=f"http://127.0.0.1:{port}/health"
        )
        url = f"http://127.0.0.1:{port}/v1/traces"
        with running(collector, Path(folder)):
            for number in range(rounds):
                say(f"round {number + 1} of {rounds}")
                for name, asked in ASKED.items():
                    for state in (OFF, UNSAMPLED, ALL):
                        found[name][state].append(asyncio.run(cpu_us(_tracing(state, url), asked, requests)))
    medians = {name: {state: median(each) for state, each in states.items()} for name, states in found.items()}
    return Report(machine, requests, rounds, medians)


def _tracing(state: str, url: str) -> GatewayTracing:
    if state == OFF:
        return NoTracing()
    return TracedGateway(Spans(url, "gateway", 0.0 if state == UNSAMPLED else 1.0), prompts=False)


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def as_markdown(found: Report) -> str:
    rows = [(name, *(f"{each:,.0f}" for each in states.values())) for name, states in found.cpu_us.items()]
    told = (
        f"Microseconds of CPU time per request; medians of {found.rounds} rounds of {found.requests} requests in turns."
    )
    return "\n".join([*table([("request", OFF, UNSAMPLED, ALL), *rows]), "", told, *machine_lines(found.machine)])


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracing", description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=2000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    given = parser.parse_args()
    return run(lambda: measure(given.requests, given.rounds), as_json if given.json else as_markdown, (ProgramError,))


if __name__ == "__main__":
    sys.exit(main())
