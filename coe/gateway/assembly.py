"""Puts a gateway together: in come a configuration and ways to the router and the workers, out comes what serves.

Knows nothing of Ray: whoever hosts the gateway says how the other processes are reached.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import aiohttp
from redis.asyncio import Redis
from starlette.types import ASGIApp

from coe.aggregators.agreement import Embedder
from coe.config.load import LoadedConfig
from coe.config.models import Config
from coe.config.specs import expert_fingerprint
from coe.gateway.admin import AdminGuard
from coe.gateway.announcer import Announcer
from coe.gateway.app import build_app
from coe.gateway.chat import ChatEndpoint, ChatLimits
from coe.gateway.decision import Decider, PromptRouter
from coe.gateway.decisions_page import DecisionsPage
from coe.gateway.demand_counter import DemandCounter
from coe.gateway.drift_watch import DriftWatch
from coe.gateway.feedback import FeedbackPage
from coe.gateway.fleet import Fleet, ReportSource
from coe.gateway.loading import LoadPages, WorkerControl
from coe.gateway.memory_pages import MemoryPages
from coe.gateway.observer import DecisionObserver
from coe.gateway.pages import ExpertCard, Pages
from coe.gateway.router_page import RouterPage
from coe.gateway.worker_sockets import watched_socket
from coe.plan.cached_expert import CachedExpert
from coe.plan.executor import Executor
from coe.plan.expert import Answer, Expert
from coe.plan.loading import load_planner
from coe.plan.request import ChatRequest
from coe.plan.worker_expert import WorkerExpert
from coe.runtime import Runtime
from coe.store.client import open_redis
from coe.store.decision_log import DecisionLog
from coe.store.demand import DemandCounts
from coe.store.directory import RedisDirectory
from coe.store.drift_baselines import DriftBaselines
from coe.store.outcomes import OutcomeLog
from coe.store.response_cache import ResponseCache
from coe.store.swaps import SwapLog
from coe.tracing.hooks import GatewayTracing
from coe.tracing.opening import open_gateway_tracing

LOG_TIMEOUT_S = 2.0


class GatewayRouter(PromptRouter, Embedder, Protocol):
    """A router that also embeds texts."""


@dataclass(frozen=True, slots=True)
class Gateway:
    """One gateway that serves as soon as its background work runs."""

    app: ASGIApp
    chat: ChatEndpoint
    fleet: Fleet
    observer: DecisionObserver
    demand: DemandCounter
    tracing: GatewayTracing

    def background(self) -> Sequence[Coroutine[None, None, None]]:
        """To run beside the application. None of it ends by itself."""
        return self.fleet.keep_fresh(), self.observer.run(), self.demand.run()

    async def drain(self, timeout_s: float) -> bool:
        """Refuses new requests and waits for the running ones; False where some were cut off."""
        drained = await self.chat.drain(timeout_s)
        with suppress(TimeoutError):  # where Redis hangs, the last decisions are not worth more
            async with asyncio.timeout(LOG_TIMEOUT_S):
                await self.observer.flush()
                await self.demand.push()
        await self.tracing.close(LOG_TIMEOUT_S)
        return drained


def assemble_gateway(
    loaded: LoadedConfig, runtime: Runtime, router: GatewayRouter, workers: ReportSource, control: WorkerControl
) -> Gateway:
    """Call it on the event loop that serves.

    Args:
        loaded: the service's configuration.
        runtime: where Redis is, and the secret of the workers.
        router: both stages of the router, and its encoder.
        workers: reports straight from the workers, for when Redis is away.
        control: loads, unloads and pins experts.
    """
    config = loaded.config
    redis = open_redis(runtime.redis_url)
    tracing = open_gateway_tracing(config)
    at_once = {group: worker.max_running for group, worker in config.workers.items()}
    fleet = Fleet((RedisDirectory(redis, config.redis.namespace), workers), at_once)
    counts = DemandCounts(redis, config.redis.namespace)
    demand = DemandCounter(counts)
    decider = Decider(tracing.router(router), list(config.experts), config.router.general, fleet, load_planner(loaded))
    max_body = int(config.server.max_body_mb * 1e6)
    limits = ChatLimits(max_body, config.server.max_concurrent, config.server.ping_interval_s)
    session = _worker_session()
    ask = partial(WorkerExpert, workers=fleet, session=session, token=runtime.token)
    experts = _experts(loaded, redis, fleet, lambda name: tracing.expert(ask(name)))
    announcer = Announcer(fleet, session, runtime.token)
    executor = Executor(
        experts, residency=fleet, embedder=router, recall=partial(_recall, experts), announce=announcer.announce
    )
    runner = tracing.runner(executor)
    chat = ChatEndpoint(decider, runner, limits, demand, queue=fleet.queue, log_prompts=config.logs.prompts)
    decisions, outcomes, drift = _records(config, redis)
    observer = DecisionObserver(decisions, drift, config.router.log.prompts)
    guard = AdminGuard(config.server.host, config.server.admin_key)
    app = build_app(
        chat,
        Pages(decider, fleet, _cards(config), config.router.general, max_body),
        LoadPages(control, fleet, list(config.experts), config.router.general, guard),
        config.server.request_timeout_s,
        feedback=FeedbackPage(decisions, outcomes, max_body),
        router=RouterPage(router, drift),
        memory=MemoryPages(SwapLog(redis, config.redis.namespace), counts),
        decisions=DecisionsPage(decisions, guard),
        observer=observer,
        repeats_id=False,
    )
    return Gateway(tracing.app(app), chat, fleet, observer, demand, tracing)


async def _recall(experts: Mapping[str, CachedExpert], name: str, request: ChatRequest) -> Answer | None:
    return await experts[name].recall(request)


def _worker_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, socket_factory=watched_socket),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0),
        auto_decompress=False,
    )


def _experts(loaded: LoadedConfig, redis: Redis, fleet: Fleet, ask: Callable[[str], Expert]) -> dict[str, CachedExpert]:
    """`ask`: makes the expert of a name that asks workers."""
    config = loaded.config
    cache = ResponseCache(redis, config.redis.namespace, config.cache.ttl_s, config.cache.max_answer_kb * 1024)
    return {
        name: CachedExpert(
            ask(name),
            cache,
            config.cache.mode,
            expert_fingerprint(loaded, name),
            expert.sampling.temperature,
            version=partial(fleet.adapters, name),
        )
        for name, expert in config.experts.items()
    }


def _records(config: Config, redis: Redis) -> tuple[DecisionLog, OutcomeLog, DriftWatch]:
    """What is remembered of decisions and of their scores, and what watches them."""
    namespace, kept, watched = config.redis.namespace, config.router.log, config.router.drift
    keep_s = kept.keep_h * 3600
    return (
        DecisionLog(redis, namespace, keep_s, kept.max_prompts),
        OutcomeLog(redis, namespace, keep_s, kept.max_outcomes),
        DriftWatch(DriftBaselines(redis, namespace), watched.window, watched.false_alarm),
    )


def _cards(config: Config) -> list[ExpertCard]:
    return [
        ExpertCard(name, expert.description, config.active_params_b(name)) for name, expert in config.experts.items()
    ]
