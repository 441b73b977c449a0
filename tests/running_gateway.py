"""A real gateway on a port, with a scripted classifier and scripted reports of its workers."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import orjson
import uvicorn
from pydantic import SecretStr
from redis.asyncio import Redis
from starlette.types import ASGIApp

from coe.aggregators.prompts import own_prompt
from coe.alternatives import Alternative
from coe.config.models import OWN_PLANS, CacheConfig, DecisionLogConfig, PlanConfig
from coe.gateway.admin import AdminGuard
from coe.gateway.announcer import Announcer
from coe.gateway.app import build_app
from coe.gateway.chat import ChatEndpoint, ChatLimits
from coe.gateway.decision import Decider, PromptRouter
from coe.gateway.decisions_page import DecisionsPage
from coe.gateway.demand_counter import DemandCounter
from coe.gateway.drift_watch import DriftWatch
from coe.gateway.feedback import FeedbackPage
from coe.gateway.fleet import Fleet
from coe.gateway.loading import LoadPages, Verb
from coe.gateway.memory_pages import MemoryPages
from coe.gateway.observer import DecisionObserver
from coe.gateway.pages import ExpertCard, Pages
from coe.gateway.router_page import RouterPage
from coe.plan.building import ExpertFacts, PlanPrompts
from coe.plan.cached_expert import CachedExpert
from coe.plan.executor import Executor
from coe.plan.expert import Answer
from coe.plan.planner import Planner
from coe.plan.request import ChatRequest
from coe.plan.worker_expert import WorkerExpert
from coe.routing import Routed, RouterCard
from coe.store.decision_log import DecisionLog
from coe.store.demand import DemandCounts
from coe.store.drift_baselines import DriftBaselines
from coe.store.outcomes import OutcomeLog
from coe.store.response_cache import ResponseCache
from coe.store.swaps import SwapLog
from coe.tracing.hooks import GatewayTracing, NoTracing
from routers.router import Classification
from tests.scripted_worker import until
from workers.reports import LoadReport, WorkerReport

TOKEN = "token-of-the-tests"
EXPERTS = ("generalist", "poet")
GENERAL = "generalist"
CARDS = tuple(ExpertCard(name, f"The {name}.", 0.135) for name in EXPERTS)
PROBABILITIES = {"poetry": 0.9, "law": 0.1}
ROUTER = RouterCard("0123456789ab", ("law", "poetry"), 0.05)


class ScriptedClassifier:
    """Knows poetry by the word and sends it to the poet; abstains where it reads `unclear`.

    `texts` keeps what it was asked; `alternatives` are those of every prompt.
    """

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.alternatives: tuple[Alternative, ...] = ()

    async def route(self, turns: Sequence[str]) -> Routed:
        self.texts.append("\n".join(turns))
        found = self._classify(self.texts[-1])
        return Routed(found, "poet" if found.category == "poetry" else GENERAL, ROUTER, self.alternatives)

    async def card(self) -> RouterCard:
        return ROUTER

    def _classify(self, text: str) -> Classification:
        if "unclear" in text:
            return Classification("general", 0.8, abstained=True, in_scope=0.2, probabilities=PROBABILITIES)
        category = "poetry" if "poem" in text else "law"
        confidence = PROBABILITIES[category]
        return Classification(category, confidence, abstained=False, in_scope=0.9, probabilities=PROBABILITIES)


@dataclass(slots=True)
class ScriptedSource:
    """Worker reports that a test sets; `error` is raised instead where there is one."""

    known: list[WorkerReport] = field(default_factory=list)
    error: Exception | None = None

    async def reports(self) -> list[WorkerReport]:
        if self.error:
            raise self.error
        return list(self.known)


@dataclass(slots=True)
class ScriptedControl:
    """Workers that answer to every verb as a test sets; `asked` keeps what they were asked."""

    reports: list[LoadReport] = field(default_factory=list)
    asked: list[tuple[Verb, str]] = field(default_factory=list)

    async def change(self, verb: Verb, expert: str) -> Sequence[LoadReport]:
        self.asked.append((verb, expert))
        return self.reports


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply, read to its end."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """OpenAI's error object, which has these four keys and no others."""
        error = self.json()["error"]
        assert isinstance(error, dict)
        assert error.keys() == {"message", "type", "param", "code"}
        return error


@dataclass(slots=True)
class RunningGateway:
    """A gateway on a port, its parts, and a client for it."""

    url: str
    client: aiohttp.ClientSession
    fleet: Fleet
    source: ScriptedSource
    chat: ChatEndpoint
    classifier: ScriptedClassifier
    control: ScriptedControl
    decisions: DecisionLog
    outcomes: OutcomeLog
    observer: DecisionObserver
    demand: DemandCounter
    swaps: SwapLog

    async def ask(self, text: str = "a poem", **fields: object) -> Reply:
        """Sends a chat request with one user message."""
        body = {"model": "coe", "messages": [{"role": "user", "content": text}], **fields}
        return await self.post("/v1/chat/completions", body)

    async def settle(self) -> None:
        """Returns when what was asked so far is logged and counted: a reply can be read before its exchange ends."""
        await self.get("/health")
        await self.observer.flush()
        await self.demand.push()

    async def post(self, path: str, body: object, **headers: str) -> Reply:
        return await self.send("POST", path, json=body, headers=headers)

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.send("GET", path, headers=headers)

    async def send(self, method: str, path: str, **options: Any) -> Reply:
        async with self.client.request(method, path, **options) as reply:
            return Reply(reply.status, reply.headers, await reply.read())


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of one gateway.

    `router`: another one than the scripted classifier; `host`: what it says that it listens on; `cards`: of the experts
    that it has; `context`: of every expert, in tokens; `namespace`: of its logs in Redis; `tracing`: of its requests.
    """

    timeout_s: float = 20.0
    ping_interval_s: float = 10.0
    max_concurrent: int = 64
    max_body_bytes: int = 100_000
    cache: CacheConfig = field(default_factory=CacheConfig)
    log: DecisionLogConfig = field(default_factory=DecisionLogConfig)
    drift_window: int = 100
    router: PromptRouter | None = None
    host: str = "127.0.0.1"
    admin_key: str | None = None
    cards: Sequence[ExpertCard] = CARDS
    namespace: str = field(default_factory=lambda: uuid.uuid4().hex)
    plans: Mapping[str, PlanConfig] = field(default_factory=dict)
    category_plans: Mapping[str, str] = field(default_factory=dict)
    context: int | None = None
    tracing: GatewayTracing = field(default_factory=NoTracing)


def make_planner(
    plans: Mapping[str, PlanConfig] | None = None,
    by_category: Mapping[str, str] | None = None,
    context: int | None = None,
) -> Planner:
    """Over the tests' experts, which run on one model."""
    prompts = PlanPrompts(own_prompt("aggregate"), own_prompt("judge"))
    known = {name: (plan, prompts) for name, plan in (OWN_PLANS | dict(plans or {})).items()}
    return Planner(known, by_category or {}, {name: ExpertFacts("base", context=context) for name in EXPERTS})


MakeReport = Callable[..., WorkerReport]
"""`make(url, *experts, worker_id=…, state=…, tier=…)`; all that it takes is in `tests.conftest.make_report`."""
StartGateway = Callable[..., Awaitable[RunningGateway]]
"""`start(*reports, redis=client, **settings)`"""


async def enter_gateway(
    stack: AsyncExitStack, source: ScriptedSource, session: aiohttp.ClientSession, redis: Redis, settings: Settings
) -> RunningGateway:
    """Serves until the stack is closed."""
    cache, tracing, classifier = settings.cache, settings.tracing, ScriptedClassifier()
    router = settings.router or classifier
    fleet = Fleet([source])
    await fleet.refresh()
    store = ResponseCache(redis, uuid.uuid4().hex, cache.ttl_s, cache.max_answer_kb * 1024)
    names = tuple(card.name for card in settings.cards)
    experts = {
        name: CachedExpert(tracing.expert(WorkerExpert(name, fleet, session, TOKEN)), store, cache.mode, name, None)
        for name in names
    }
    planner = make_planner(settings.plans, settings.category_plans, settings.context)
    decider = Decider(tracing.router(router), names, GENERAL, fleet, planner)
    limits = ChatLimits(settings.max_body_bytes, settings.max_concurrent, settings.ping_interval_s)
    namespace, kept = settings.namespace, settings.log
    counts, swaps = DemandCounts(redis, namespace), SwapLog(redis, namespace)
    demand = DemandCounter(counts)

    async def recall(name: str, request: ChatRequest) -> Answer | None:
        return await experts[name].recall(request)

    executor = Executor(experts, residency=fleet, recall=recall, announce=Announcer(fleet, session, TOKEN).announce)
    chat = ChatEndpoint(decider, tracing.runner(executor), limits, demand, queue=fleet.queue)
    pages = Pages(decider, fleet, settings.cards, GENERAL, settings.max_body_bytes)
    control = ScriptedControl()
    key = SecretStr(settings.admin_key) if settings.admin_key else None
    guard = AdminGuard(settings.host, key)
    loading = LoadPages(control, fleet, names, GENERAL, guard)
    decisions = DecisionLog(redis, namespace, kept.keep_h * 3600, kept.max_prompts)
    outcomes = OutcomeLog(redis, namespace, kept.keep_h * 3600, kept.max_outcomes)
    drift = DriftWatch(DriftBaselines(redis, namespace), settings.drift_window, 0.001)
    observer = DecisionObserver(decisions, drift, kept.prompts)
    await stack.enter_async_context(_running(observer.run()))
    app = build_app(
        chat,
        pages,
        loading,
        settings.timeout_s,
        feedback=FeedbackPage(decisions, outcomes, settings.max_body_bytes),
        router=RouterPage(router, drift),
        memory=MemoryPages(swaps, counts),
        decisions=DecisionsPage(decisions, guard),
        observer=observer,
    )
    url = await stack.enter_async_context(_served(tracing.app(app)))
    client = await stack.enter_async_context(aiohttp.ClientSession(url))
    return RunningGateway(
        url, client, fleet, source, chat, classifier, control, decisions, outcomes, observer, demand, swaps
    )


@asynccontextmanager
async def _running(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def _served(app: ASGIApp) -> AsyncIterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve([listening]))
        await until(lambda: server.started)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            await server.shutdown()
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving
