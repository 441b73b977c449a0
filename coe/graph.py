"""The Ray Serve application: gateways in front, workers behind, and the router in one of two places.

In: a configuration and the runtime of this machine. Out: an application for `serve.run`. Tokens do not pass through
the handles between deployments; those carry control alone.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import aiohttp
import ray
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from coe.config.load import LoadedConfig
from coe.config.specs import expert_fingerprint, worker_spec
from coe.gateway.app import build_app
from coe.gateway.chat import ChatEndpoint, ChatLimits
from coe.gateway.decision import Decider
from coe.gateway.drift_watch import DriftWatch, RouterCard
from coe.gateway.feedback import FeedbackPage
from coe.gateway.fleet import Fleet
from coe.gateway.loading import LoadPages
from coe.gateway.observer import DecisionObserver
from coe.gateway.pages import ExpertCard, Pages
from coe.gateway.router_page import RouterPage
from coe.handles import AskedWorkers, ControlledWorkers
from coe.plan.cached_expert import CachedExpert
from coe.plan.executor import Executor
from coe.plan.expert import Expert
from coe.plan.worker_expert import WorkerExpert
from coe.routing import effective_map, load_router
from coe.runtime import Runtime
from coe.store.client import STORE_ERRORS, open_redis
from coe.store.decision_log import DecisionLog
from coe.store.directory import RedisDirectory
from coe.store.drift_baselines import DriftBaselines
from coe.store.outcomes import OutcomeLog
from coe.store.response_cache import ResponseCache
from coe.telemetry.logs import configure_logs, get_logger
from routers.artefact import MANIFEST
from routers.router import CategoryRouter, Classification
from workers.errors import WorkerError
from workers.spec import LoadReport, WorkerReport
from workers.worker import ExpertWorker

APPLICATION = "coe"
GATEWAY = "Gateway"
UNLIMITED = 1_000_000_000
SHUTDOWN_S = 20.0
LOG_TIMEOUT_S = 2.0
INLINE_CHARS = 1_000


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything a deployment is constructed from."""

    loaded: LoadedConfig
    runtime: Runtime


def build_application(setup: Setup) -> serve.Application:
    """Binds the deployments; nothing starts before `serve.run`."""
    config = setup.loaded.config
    workers = {
        group: serve.deployment(WorkerDeployment)
        .options(
            name=worker_deployment_name(group),
            num_replicas=worker.replicas,
            max_ongoing_requests=UNLIMITED,
            graceful_shutdown_timeout_s=SHUTDOWN_S,
            ray_actor_options=_resources(setup, group),
        )
        .bind(setup, group)
        for group, worker in config.workers.items()
    }
    light = {"num_cpus": 0.01, "runtime_env": {}}
    remote_router = config.router.placement == "deployment"
    router = (
        serve.deployment(RouterDeployment)
        .options(name="Router", max_ongoing_requests=UNLIMITED, ray_actor_options=light)
        .bind(setup)
        if remote_router
        else None
    )
    return (
        serve.deployment(serve.ingress()(GatewayDeployment))
        .options(
            name=GATEWAY,
            num_replicas=config.server.replicas,
            max_ongoing_requests=UNLIMITED,
            graceful_shutdown_timeout_s=1.0,
            ray_actor_options=light,
        )
        .bind(setup, workers, router)
    )


def worker_deployment_name(group: str) -> str:
    return f"ExpertWorker-{group}"


def _resources(setup: Setup, group: str) -> dict[str, object]:
    """What Ray sets aside for one worker. A CPU worker shares the cores with the rest of the service."""
    config = setup.loaded.config
    if config.workers[group].device == "cpu":
        return {"num_cpus": 0.01}
    models = {config.experts[name].model for name in config.experts_of(group)}
    return {"num_cpus": 1, "num_gpus": max(config.models[name].tensor_parallel for name in models)}


class GatewayDeployment:
    """Hosts the gateway's ASGI application and the background refresh of its picture of the workers."""

    def __init__(self, setup: Setup, workers: dict[str, DeploymentHandle], router: DeploymentHandle | None) -> None:
        config = setup.loaded.config
        runtime = setup.runtime
        configure_logs(runtime.log_file, config.logs.level, "gateway")
        local_router = load_router(setup.loaded, runtime.cache_dir)
        redis = open_redis(runtime.redis_url)
        sources = (RedisDirectory(redis, config.redis.namespace), AskedWorkers(workers))
        self._fleet = Fleet(sources)
        cache = ResponseCache(redis, config.redis.namespace, config.cache.ttl_s, config.cache.max_answer_kb * 1024)
        executor = Executor(_experts(setup, self._fleet, cache))
        classifier = _RemoteClassifier(router) if router else _LocalClassifier(local_router)
        decider = Decider(classifier, list(config.experts), effective_map(config, local_router), config.router.general)
        max_body = int(config.server.max_body_mb * 1e6)
        limits = ChatLimits(max_body, config.server.max_concurrent, config.server.ping_interval_s)
        self._chat = ChatEndpoint(decider, executor, limits, log_prompts=config.logs.prompts)
        cards = [
            ExpertCard(name, expert.description, config.active_params_b(name))
            for name, expert in config.experts.items()
        ]
        pages = Pages(decider, self._fleet, cards, config.router.general, max_body)
        control = ControlledWorkers({group: (handle, config.experts_of(group)) for group, handle in workers.items()})
        loading = LoadPages(control, self._fleet, list(config.experts), config.router.general)
        card = _router_card(setup.loaded, local_router)
        namespace, kept = config.redis.namespace, config.router.log
        decisions = DecisionLog(redis, namespace, kept.keep_h * 3600, kept.max_prompts)
        outcomes = OutcomeLog(redis, namespace, kept.keep_h * 3600, kept.max_outcomes)
        drift = DriftWatch(
            DriftBaselines(redis, namespace), config.router.drift.window, config.router.drift.false_alarm
        )
        self._observer = DecisionObserver(decisions, drift, lambda: card, kept.prompts)
        self._app = build_app(
            self._chat,
            pages,
            loading,
            config.server.request_timeout_s,
            feedback=FeedbackPage(decisions, outcomes, max_body),
            router=RouterPage(lambda: card, drift),
            observer=self._observer,
            repeats_id=False,
        )
        loop = asyncio.get_running_loop()
        self._background = (loop.create_task(self._fleet.keep_fresh()), loop.create_task(self._observer.run()))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._app

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises."""
        for task in self._background:
            if task.done():
                task.result()

    async def drain(self, timeout_s: float) -> bool:
        """Refuses new requests and waits for the running ones; False where some were cut off."""
        drained = await self._chat.drain(timeout_s)
        with suppress(TimeoutError):  # where Redis hangs, the last decisions are not worth more
            async with asyncio.timeout(LOG_TIMEOUT_S):
                await self._observer.flush()
        return drained


class WorkerDeployment:
    """Hosts one `ExpertWorker` and tells Redis what it holds."""

    async def __init__(self, setup: Setup, group: str) -> None:  # type: ignore[misc]  # Serve awaits constructors
        config = setup.loaded.config
        runtime = setup.runtime
        configure_logs(runtime.log_file, config.logs.level, "worker")
        self._log = get_logger("coe.worker")
        self._directory = RedisDirectory(open_redis(runtime.redis_url), config.redis.namespace)
        host = "127.0.0.1" if runtime.local else ray.util.get_node_ip_address()
        worker_id = f"{group}-{serve.get_replica_context().rank.rank}"
        spec = worker_spec(setup.loaded, group, runtime, host)
        self._worker = ExpertWorker(spec, worker_id=worker_id, on_report=self._publish)
        await self._worker.start()

    async def report(self) -> WorkerReport:
        return self._worker.report()

    async def load(self, expert: str) -> LoadReport:
        """Puts the expert's adapter into the engine, or says why not."""
        return await self._change(expert, self._worker.load)

    async def unload(self, expert: str) -> LoadReport:
        """Takes the expert's adapter out, or says why not."""
        return await self._change(expert, self._worker.unload)

    async def _change(self, expert: str, change: Callable[[str], Awaitable[LoadReport]]) -> LoadReport:
        """The report is in Redis when this returns, so that a gateway that refreshes its picture then sees it."""
        try:
            done = await change(expert)
        except WorkerError as error:
            done = LoadReport(
                worker_id=self._worker.worker_id, expert=expert, state="failed", code=error.code, error=str(error)
            )
        await self._publish(self._worker.report())
        return done

    async def _publish(self, report: WorkerReport) -> None:
        try:
            if not await self._directory.write(report):
                self._log.error("a later worker has this id; its reports stand", worker=report.worker_id)
        except STORE_ERRORS as error:
            self._log.warning("Redis is away; gateways ask this worker directly", error=repr(error))

    async def __del__(self) -> None:  # Serve awaits it before the replica ends
        await self._worker.stop()


class RouterDeployment:
    """Hosts the router in a process of its own, for encoders too heavy for the gateway's."""

    def __init__(self, setup: Setup) -> None:
        configure_logs(setup.runtime.log_file, setup.loaded.config.logs.level, "router")
        self._classifier = _LocalClassifier(load_router(setup.loaded, setup.runtime.cache_dir))

    async def classify(self, text: str) -> Classification:
        return await self._classifier.classify(text)


class _LocalClassifier:
    """Classifies in one thread, so that the event loop goes on.

    But a static encoder takes less for a short text (a third of a millisecond) than handing it over and back does: two
    threads of one interpreter wait for each other.
    """

    def __init__(self, router: CategoryRouter) -> None:
        self._router = router
        self._inline_chars = INLINE_CHARS if router.encoder.spec.kind == "static" else 0
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="router")

    async def classify(self, text: str) -> Classification:
        if len(text) <= self._inline_chars:
            return self._router.classify(text)
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._router.classify, text)


class _RemoteClassifier:
    def __init__(self, handle: DeploymentHandle) -> None:
        self._handle = handle

    async def classify(self, text: str) -> Classification:
        found = await self._handle.classify.remote(text)
        assert isinstance(found, Classification)
        return found


def _router_card(loaded: LoadedConfig, router: CategoryRouter) -> RouterCard:
    manifest = (loaded.path(loaded.config.router.path) / MANIFEST).read_bytes()
    return RouterCard(hashlib.sha256(manifest).hexdigest()[:12], router.categories, router.reject_rate)


def _experts(setup: Setup, fleet: Fleet, cache: ResponseCache) -> dict[str, Expert]:
    config = setup.loaded.config
    session = aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0),
        auto_decompress=False,
    )
    return {
        name: CachedExpert(
            WorkerExpert(name, fleet, session, setup.runtime.token),
            cache,
            config.cache.mode,
            expert_fingerprint(setup.loaded, name),
            expert.sampling.temperature,
            version=partial(fleet.adapters, name),
        )
        for name, expert in config.experts.items()
    }
