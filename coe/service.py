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
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import httpx
import orjson

from coe.config.load import LoadedConfig
from coe.config.problem import Problem
from coe.errors import StartupError
from coe.haproxy import unspliced_haproxy
from coe.runtime import Runtime, cache_directory
from coe.store.embedded import EmbeddedRedis
from coe.telemetry.follow import LogFollower
from coe.telemetry.metrics import MULTIPROC_VARIABLE
from workers.spec import WorkerReport

RAY_ADDRESS = "RAY_ADDRESS"
RAY_TOKEN = Path("~/.ray/auth_token")
POLL_S = 0.5
WATCH_S = 1.0
REPLICA_PORTS = 200


class StopRequestedError(Exception):
    """Ctrl-C or SIGTERM: raised in the main thread wherever it is, to unwind what was started."""


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
            self._refuse_used_port()
            runtime = self._enter_runtime(stack)
            with self._stage("Ray"):
                _start_ray(stack, runtime)
                _catch_stop_signals()  # Ray has put its own handlers in their place
            self._refuse_unreachable_redis()
            with self._stage("gateway and router"):
                self._start_graph(stack, runtime)
            with self._stage("engines"):
                reports = self._wait_for_experts()
            yield reports

    def watch(self) -> None:
        """Keeps what this process itself started alive; returns only by a signal's exception."""
        while True:
            time.sleep(WATCH_S)
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
            cache_dir=cache_directory(),
            local=RAY_ADDRESS not in os.environ,
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
        try:
            serve.run(application, name=APPLICATION, route_prefix="/", logging_config=quiet)
        except RuntimeError as error:
            raise StartupError(f"The graph did not start: {error}\nThe log is {runtime.log_file}.") from error

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

    def _wait_for_experts(self) -> list[WorkerReport]:
        """Polls the gateway until no expert is loading. Engines have deadlines of their own, so this ends."""
        wanted = set(self._loaded.config.experts)
        seen: dict[str, str] = {}
        while True:
            reports = self._reports()
            states = {expert.name: expert for report in reports for expert in report.experts}
            for name, expert in states.items():
                if seen.get(name) != expert.state:
                    seen[name] = expert.state
                    self._on_stage(f"expert {name}: {expert.state}{f' ({expert.error})' if expert.error else ''}")
            settled = wanted <= states.keys() and all(expert.state != "loading" for expert in states.values())
            if settled and any(expert.state == "ready" for expert in states.values()):
                return reports
            if settled:
                errors = sorted({expert.error or expert.state for expert in states.values()})
                raise StartupError("No expert can answer:\n" + "\n".join(errors))
            time.sleep(POLL_S)

    def _reports(self) -> list[WorkerReport]:
        try:
            found = httpx.get(f"{self.url}/v1/workers", timeout=5.0)
            found.raise_for_status()
        except httpx.HTTPError:
            return []
        return [WorkerReport.from_json(orjson.dumps(report)) for report in found.json()]

    def _refuse_used_port(self) -> None:
        server = self._loaded.config.server
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((server.host, server.port))
            except OSError as error:
                remedy = "stop what listens there, or set `server.port` (or COE_SERVER__PORT) to another."
                problem = Problem(
                    ("server", "port"), f"cannot listen on {server.host}:{server.port}: {error.strerror}; {remedy}"
                )
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


def _start_ray(stack: contextlib.ExitStack, runtime: Runtime) -> None:
    """A Ray of our own on this machine, or the cluster that RAY_ADDRESS names."""
    variables = _ray_variables(runtime)
    os.environ.update(variables)
    if not runtime.local and RAY_TOKEN.expanduser().exists():
        os.environ.setdefault("RAY_AUTH_MODE", "token")  # what `ray start` does by default, and a driver does not
    import ray  # noqa: PLC0415  # reads the variables when imported

    stack.callback(ray.shutdown)
    if runtime.local:
        temporary = str(runtime.run_dir / "ray")
        ray.init(
            address="local", include_dashboard=False, log_to_driver=False, logging_level="error", _temp_dir=temporary
        )
        return
    try:
        ray.init(log_to_driver=False, logging_level="error", runtime_env={"env_vars": variables})
    except ConnectionError as error:
        raise StartupError(
            f"No Ray cluster answers at {RAY_ADDRESS}={os.environ[RAY_ADDRESS]}: {error}. Where it asks for a token, "
            "set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN_PATH."
        ) from error


def _ray_variables(runtime: Runtime) -> dict[str, str]:
    """Ray Serve's fast HTTP path, with every file and port of HAProxy private to this service."""
    metrics = runtime.run_dir / "metrics"
    metrics.mkdir()
    haproxy = runtime.run_dir / "haproxy"
    # On a cluster every node starts its own, from a path that is there.
    unspliced = unspliced_haproxy(runtime.run_dir) if runtime.local else None
    first_replica_port = _free_port()  # two services that count from Ray's own first port reach each other's gateways
    return {
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.1",
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first_replica_port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(min(first_replica_port + REPLICA_PORTS, 65535)),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(_free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(_free_port()),
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        **({"RAY_SERVE_HAPROXY_BINARY_PATH": str(unspliced)} if unspliced else {}),
        "RAY_USAGE_STATS_ENABLED": "0",
        # Ray would kill the engines' reapers before they have ended the engines.
        "RAY_kill_child_processes_on_worker_exit": "0",
        MULTIPROC_VARIABLE: str(metrics),
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise StopRequestedError inside this block."""
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    _catch_stop_signals()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _catch_stop_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the shape of a signal handler
    raise StopRequestedError(signal.Signals(number).name)
