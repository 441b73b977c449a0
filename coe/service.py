"""One running service: starts Redis, Ray and the graph in order, waits until it answers, and takes all down again.

Every stage is entered into an exit stack before the next begins, so that a failure, Ctrl-C or SIGTERM at any moment
stops exactly what was started.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import orjson

from coe.cluster_nodes import GroupWatch
from coe.config.load import LoadedConfig
from coe.config.models import ClusterConfig
from coe.config.problem import Problem
from coe.errors import StartupError
from coe.ray_cluster import start_ray
from coe.ray_node import RayNode
from coe.runtime import RAY_ADDRESS, Runtime, cache_directory
from coe.stop_signals import StopRequestedError, catch_stop_signals
from coe.store.embedded import EmbeddedRedis
from coe.telemetry.follow import LogFollower
from workers.report_json import report_from_json
from workers.reports import WorkerReport

POLL_S = 0.5
WATCH_S = 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One step of the start, with what it took."""

    name: str
    seconds: float


class Service:
    """Runs in the main thread, because signals arrive there.

    Args:
        loaded: a configuration that `coe check` accepts.
        on_stage: told of each step as it begins; for a person who waits.
    """

    def __init__(self, loaded: LoadedConfig, on_stage: Callable[[str], None]) -> None:
        self._loaded = loaded
        self._on_stage = on_stage
        self._stages: list[Stage] = []
        self._redis: EmbeddedRedis | None = None
        self._head: RayNode | None = None
        self._cluster = loaded.config.cluster or ClusterConfig()
        groups = {name: group.nodes for name, group in loaded.config.workers.items()}
        self._groups = GroupWatch(groups, on_stage)

    @property
    def url(self) -> str:
        """Where this machine reaches the service."""
        server = self._loaded.config.server
        host = "127.0.0.1" if server.host == "0.0.0.0" else server.host  # noqa: S104  # compared, not bound
        return f"http://{host}:{server.port}"

    @property
    def stages(self) -> list[Stage]:
        return list(self._stages)

    @contextlib.contextmanager
    def running(self) -> Iterator[list[WorkerReport]]:
        """Enters when every expert answers or has failed, with the workers' reports; leaves when all is down.

        Raises:
            StartupError: the service cannot start; everything that was started is down again.
        """
        with contextlib.ExitStack() as stack:
            self._refuse_used_ports()
            runtime = self._enter_runtime(stack)
            with self._stage("Ray"):
                self._head = start_ray(stack, runtime, self._loaded.config.cluster, self._on_stage)
                catch_stop_signals()  # Ray has put its own handlers in their place
            self._refuse_unreachable_redis()
            with self._stage("gateway and router"):
                self._start_graph(stack, runtime)
            with self._stage("engines"):
                reports = self._wait_for_experts(runtime)
            yield reports

    def watch(self) -> None:
        """Keeps what this process itself started alive; returns only by a signal's exception.

        Raises:
            StartupError: Ray ended, and the service with it.
        """
        while True:
            time.sleep(WATCH_S)
            if self._head is not None and self._head.ended:
                raise StartupError(f"Ray ended, so the service cannot go on:\n{self._head.last_words()}")
            self._groups.look()
            if self._redis is not None and not self._redis.alive:
                self._on_stage("the embedded Redis ended; starting it again")
                self._redis.stop()
                with contextlib.suppress(StartupError):  # the service answers without Redis; the next round tries again
                    self._redis.start()

    def _enter_runtime(self, stack: contextlib.ExitStack) -> Runtime:
        config = self._loaded.config
        run_dir = Path(tempfile.mkdtemp(prefix="coe-"))  # short, because socket paths are limited to 107 bytes
        stack.callback(shutil.rmtree, run_dir, ignore_errors=True)
        os.environ["TMPDIR"] = str(run_dir)  # what engines leave in their temporary folder goes with this one
        log_file = self._log_file()
        follower = LogFollower(log_file, config.logs.format, sys.stderr)
        follower.start()
        stack.callback(follower.close)
        redis_url = config.redis.url
        if redis_url is None:
            with self._stage("Redis"):
                self._redis = stack.enter_context(EmbeddedRedis(run_dir))
            redis_url = self._redis.url
        return Runtime(
            run_dir=run_dir,
            log_file=log_file,
            redis_url=redis_url,
            token=secrets.token_urlsafe(16),
            local=config.cluster is None and RAY_ADDRESS not in os.environ,
            head=config.cluster is not None and RAY_ADDRESS not in os.environ,
        )

    def _log_file(self) -> Path:
        """The file that the configuration names, or one in the cache folder that holds the last run on this port."""
        config = self._loaded.config
        if config.logs.file:
            return self._loaded.path(config.logs.file)
        folder = cache_directory() / "logs"
        folder.mkdir(parents=True, exist_ok=True)
        file = folder / f"serve-{config.server.port}.log"
        file.unlink(missing_ok=True)
        return file

    def _start_graph(self, stack: contextlib.ExitStack, runtime: Runtime) -> None:
        from ray import serve  # noqa: PLC0415  # Ray Serve reads its settings from the environment when imported

        from coe.graph import APPLICATION, Setup, build_application  # noqa: PLC0415  # imports Ray Serve

        logging.getLogger("ray.serve").setLevel(logging.ERROR)
        config = self._loaded.config
        stack.callback(self._stop_graph)
        quiet = {"enable_access_log": False, "log_level": "WARNING"}
        serve.start(http_options={"host": config.server.host, "port": config.server.port}, logging_config=quiet)
        application = build_application(Setup(self._loaded, runtime))
        target = serve.RunTarget(application, name=APPLICATION, route_prefix="/", logging_config=quiet)
        # Not until all runs: workers may have to wait for their machines, and the gateways tell how it goes.
        serve.run_many([target], wait_for_applications_running=False)
        while not self._gateways_run(runtime):
            time.sleep(POLL_S)

    def _gateways_run(self, runtime: Runtime) -> bool:
        from ray import serve  # noqa: PLC0415  # Ray Serve reads its settings from the environment when imported

        from coe.graph import APPLICATION, GATEWAY  # noqa: PLC0415  # imports Ray Serve

        application = serve.status().applications[APPLICATION]
        if application.status == "DEPLOY_FAILED":
            raise StartupError(f"The graph did not start: {application.message}\nThe log is {runtime.log_file}.")
        gateways = application.deployments.get(GATEWAY)
        return gateways is not None and gateways.status == "HEALTHY"

    def _stop_graph(self) -> None:
        logging.getLogger("ray.serve").setLevel(logging.CRITICAL)  # its handles complain when their loop ends
        asyncio.run(self._drain_and_shut_down())

    async def _drain_and_shut_down(self) -> None:
        """In one event loop, because Ray Serve's handles live and die with the loop that first used them."""
        from ray import serve  # noqa: PLC0415  # loads Ray, which reads variables that are set here first

        from coe.graph import APPLICATION, GATEWAY  # noqa: PLC0415  # imports Ray Serve

        timeout_s = self._loaded.config.server.drain_timeout_s
        self._on_stage(f"finishing running requests (at most {timeout_s:.0f} s; press Ctrl-C again to cut them off)")
        try:
            gateways = serve.get_deployment_handle(GATEWAY, APPLICATION)
            finished = await gateways.broadcast("drain", timeout_s).results_async(timeout_s=timeout_s + 5)
            if not all(finished):
                self._on_stage("some requests were cut off")
        except (TimeoutError, serve.exceptions.RayServeException, StopRequestedError) as error:
            self._on_stage(f"requests were cut off ({type(error).__name__})")
        self._on_stage("stopping workers, gateways and Ray")
        await serve.shutdown_async()

    def _wait_for_experts(self, runtime: Runtime) -> list[WorkerReport]:
        """Polls the gateway until no expert is loading. Engines have deadlines of their own, so this ends."""
        wanted = set(self._loaded.config.experts)
        deadline = time.monotonic() + self._cluster.wait_s
        seen: dict[str, str] = {}
        while True:
            missing = self._groups.look()
            self._gateways_run(runtime)  # raises where a worker cannot be made
            reports = self._reports()
            states = {expert.name: expert for report in reports for expert in report.experts}
            for name, expert in states.items():
                if seen.get(name) != expert.state:
                    seen[name] = expert.state
                    self._on_stage(f"expert {name}: {expert.state}{f' ({expert.error})' if expert.error else ''}")
            settled = all(expert.state != "loading" for expert in states.values())
            everyone = wanted <= states.keys() or (missing and time.monotonic() > deadline)
            if settled and everyone:
                if any(expert.state == "ready" for expert in states.values()):
                    return reports
                errors = sorted({expert.error or expert.state for expert in states.values()})
                raise StartupError("\n".join(["No expert can answer:", *errors, *map(self._groups.remedy, missing)]))
            time.sleep(POLL_S)

    def _reports(self) -> list[WorkerReport]:
        try:
            found = httpx.get(f"{self.url}/v1/workers", timeout=5.0)
            found.raise_for_status()
        except httpx.HTTPError:
            return []
        return [report_from_json(orjson.dumps(report)) for report in found.json()]

    def _refuse_used_ports(self) -> None:
        server, cluster = self._loaded.config.server, self._loaded.config.cluster
        self._refuse_used_port("server", server.host, server.port)
        if cluster is not None and RAY_ADDRESS not in os.environ:
            self._refuse_used_port("cluster", cluster.host or "", cluster.port)

    def _refuse_used_port(self, section: str, host: str, port: int) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as error:
                setting = f"`{section}.port` (or COE_{section.upper()}__PORT)"
                remedy = f"stop what listens there, or set {setting} to another."
                problem = Problem((section, "port"), f"cannot listen on {host}:{port}: {error.strerror}; {remedy}")
                raise StartupError(str(self._loaded.error([problem]))) from error

    def _refuse_unreachable_redis(self) -> None:
        import ray  # noqa: PLC0415  # reads variables that are set here first

        if self._redis is not None and sum(node["Alive"] for node in ray.nodes()) > 1:
            problem = Problem(("redis", "url"), "the cluster has several nodes, which cannot reach an embedded Redis.")
            raise StartupError(f"{self._loaded.error([problem])} Set it to a Redis that all of them reach.")

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self._on_stage(f"starting {name}")
        started = time.monotonic()
        yield
        self._stages.append(Stage(name, time.monotonic() - started))
