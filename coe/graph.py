"""The Ray Serve application: gateways in front, workers behind, and the router in one of two places.

In: a configuration and the runtime of this machine. Out: an application for `serve.run`. Tokens do not pass through
the handles between deployments; those carry control alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import ray
from ray import serve
from ray.serve.handle import DeploymentHandle
from starlette.types import ASGIApp

from coe.config.load import LoadedConfig
from coe.config.specs import worker_spec
from coe.gateway.assembly import assemble_gateway
from coe.handles import AskedWorkers, ControlledWorkers, RemoteRouter
from coe.live_router import LiveRouter
from coe.report_publisher import ReportPublisher
from coe.routing import Routed, RouterCard, load_routing
from coe.runtime import Runtime, cache_directory, node_paths
from coe.store.client import open_redis
from coe.store.directory import RedisDirectory
from coe.store.swaps import SwapLog
from coe.telemetry.logs import configure_logs
from coe.telemetry.served import ServedLog
from coe.tracing.opening import open_worker_tracing
from routers.encoders.encoder import Vectors
from workers.errors import WorkerError
from workers.reports import LoadReport, WorkerReport
from workers.worker import ExpertWorker

APPLICATION = "coe"
GATEWAY = "Gateway"
UNLIMITED = 1_000_000_000
SHUTDOWN_S = 20.0
FLUSH_S = 2.0


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
            **_placement(setup, group),
        )
        .bind(setup, group)
        for group, worker in config.workers.items()
    }
    light = {"num_cpus": 0.01, "runtime_env": {}, "resources": _on_head(setup)}
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


def _placement(setup: Setup, group: str) -> dict[str, Any]:
    """Where Ray starts the workers of a group, as options of their deployment."""
    worker = setup.loaded.config.workers[group]
    labels = {"label_selector": worker.nodes} if worker.nodes else {}
    actor = {"ray_actor_options": {**_resources(setup, group), **labels}}
    # A CPU worker sets no cores aside, so without a limit Ray would put all of them on one node.
    return {**actor, "max_replicas_per_node": 1} if worker.nodes and worker.device == "cpu" else actor


def _resources(setup: Setup, group: str) -> dict[str, float]:
    """What Ray sets aside for one worker. A CPU worker shares the cores with the rest of the service."""
    config = setup.loaded.config
    if config.workers[group].device == "cpu":
        return {"num_cpus": 0.01}
    models = {config.experts[name].model for name in config.experts_of(group)}
    return {"num_cpus": 1, "num_gpus": max(config.models[name].tensor_parallel for name in models)}


def _on_head(setup: Setup) -> dict[str, float]:
    """Keeps gateways and router on the machine of `coe serve`, where their files are and the API's port is."""
    return {"node:__internal_head__": 0.001} if setup.runtime.head else {}


class GatewayDeployment:
    """Hosts the gateway's ASGI application and what it keeps fresh in the background."""

    def __init__(self, setup: Setup, workers: dict[str, DeploymentHandle], router: DeploymentHandle | None) -> None:
        config = setup.loaded.config
        configure_logs(node_paths(setup.runtime).log_file, config.logs.level, "gateway")
        live_router = None if router else _live_router(setup)
        control = ControlledWorkers({group: (handle, config.experts_of(group)) for group, handle in workers.items()})
        self._gateway = assemble_gateway(
            setup.loaded, setup.runtime, live_router or RemoteRouter(router), AskedWorkers(workers), control
        )
        loop = asyncio.get_running_loop()
        self._background = [loop.create_task(work) for work in self._gateway.background()]
        if live_router:
            self._background.append(loop.create_task(live_router.keep_current()))

    def __serve_build_asgi_app__(self) -> ASGIApp:
        return self._gateway.app

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises."""
        _raise_ended(self._background)

    async def drain(self, timeout_s: float) -> bool:
        """Refuses new requests and waits for the running ones; False where some were cut off."""
        return await self._gateway.drain(timeout_s)


class WorkerDeployment:
    """Hosts one `ExpertWorker` and tells Redis what it holds."""

    async def __init__(self, setup: Setup, group: str) -> None:  # type: ignore[misc]  # Serve awaits constructors
        config = setup.loaded.config
        runtime = setup.runtime
        paths = node_paths(runtime)
        configure_logs(paths.log_file, config.logs.level, "worker")
        redis, namespace = open_redis(runtime.redis_url), config.redis.namespace
        self._publisher = ReportPublisher(RedisDirectory(redis, namespace), SwapLog(redis, namespace))
        host = "127.0.0.1" if runtime.local else ray.util.get_node_ip_address()
        worker_id = f"{group}-{serve.get_replica_context().rank.rank}"
        spec = worker_spec(setup.loaded, group, paths, host=host, token=runtime.token)
        self._tracing = open_worker_tracing(config, worker_id)
        served = ServedLog(worker_id, self._tracing)
        self._worker = ExpertWorker(
            spec, worker_id=worker_id, on_report=self._publisher.publish, on_served=served.served
        )
        await self._worker.start()

    async def report(self) -> WorkerReport:
        return self._worker.report()

    async def load(self, expert: str) -> LoadReport:
        """Puts the expert's adapter into the engine, or says why not."""
        return await self._change(expert, self._worker.load)

    async def unload(self, expert: str) -> LoadReport:
        """Takes the expert's adapter out, or says why not."""
        return await self._change(expert, self._worker.unload)

    async def pin(self, expert: str) -> LoadReport:
        """Makes the expert resident to stay, or says why not."""
        return await self._change(expert, self._worker.pin)

    async def unpin(self, expert: str) -> LoadReport:
        """Lets the expert leave device memory again."""
        return await self._change(expert, self._worker.unpin)

    async def _change(self, expert: str, change: Callable[[str], Awaitable[LoadReport]]) -> LoadReport:
        """The report is in Redis when this returns, so that a gateway that refreshes its picture then sees it."""
        try:
            done = await change(expert)
        except WorkerError as error:
            done = LoadReport(
                worker_id=self._worker.worker_id, expert=expert, state="failed", code=error.code, error=str(error)
            )
        await self._publisher.publish(self._worker.report())
        return done

    async def __del__(self) -> None:  # Serve awaits it before the replica ends
        await self._worker.stop()
        await self._tracing.close(FLUSH_S)


class RouterDeployment:
    """Hosts the router in a process of its own, for encoders too heavy for the gateway's."""

    def __init__(self, setup: Setup) -> None:
        configure_logs(node_paths(setup.runtime).log_file, setup.loaded.config.logs.level, "router")
        self._router = _live_router(setup)
        self._background = [asyncio.get_running_loop().create_task(self._router.keep_current())]

    async def route(self, turns: Sequence[str]) -> Routed:
        return await self._router.route(turns)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """By the encoder of the router in force."""
        return await self._router.embed(texts)

    async def card(self) -> RouterCard:
        """Of the router in force."""
        return await self._router.card()

    async def check_health(self) -> None:
        """Serve replaces the replica when this raises."""
        _raise_ended(self._background)


def _live_router(setup: Setup) -> LiveRouter:
    loaded = setup.loaded
    return LiveRouter(loaded.path(loaded.config.router.path), partial(load_routing, loaded, cache_directory()))


def _raise_ended(tasks: list[asyncio.Task[None]]) -> None:
    """Background work never ends by itself: what ended it is raised."""
    for task in tasks:
        if task.done():
            task.result()
