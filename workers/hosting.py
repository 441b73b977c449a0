"""A model with its experts on one worker: specifications go in, what the data port and the report need comes out."""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp

from workers.admission import Admission
from workers.engine import ENGINE_URL, EngineCommand, engine_session
from workers.errors import EngineAwayError, NotUnloadableError, SourceError
from workers.lives import AttachedServer, OwnEngine
from workers.openai_errors import Failure, RefusedError
from workers.requests import ExpertRequest
from workers.spec import EngineReport, ExpertReport, ExpertSpec, ExpertState, ModelSpec, WorkerSpec
from workers.supervisor import Backoff, Supervised, Supervisor

_LOADING_RETRY_S = 5.0
_FAILED_RETRY_S = 30.0
_LOAD_DEADLINE_S = 300.0  # fetching an adapter included
_STATES: dict[str, ExpertState] = {
    "starting": "loading",
    "backoff": "loading",
    "ready": "ready",
    "failed": "failed",
    "stopped": "draining",
}


class HostedModel:
    """One model, its session and its supervised engine. Open it inside the event loop that it shall live in."""

    def __init__(
        self,
        model: ModelSpec,
        worker: WorkerSpec,
        *,
        socket: Path,
        command: EngineCommand,
        backoff: Backoff,
        on_change: Callable[[], None],
    ) -> None:
        self.model = model
        self._worker = worker
        self._socket = socket
        self._command = command
        self._experts = [expert for expert in worker.experts if expert.model == model.name]
        self.base_url = _base_url(model.url) if model.url else ENGINE_URL
        self.session = attached_session() if model.url else engine_session(socket)
        self.supervisor = Supervisor(model.name, self._life, on_change=on_change, backoff=backoff)
        self._engine: OwnEngine | None = None
        self._wanted = {expert.name for expert in self._experts if expert.load == "start"}
        self._loading: set[str] = set()
        self._broken: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()
        self._on_change = on_change
        self._task = asyncio.create_task(self.supervisor.run(), name=f"engine {model.name}")

    async def close(self) -> None:
        """End the engine and the session."""
        self._task.cancel()
        await asyncio.wait((self._task,))
        await self.session.close()

    def report(self) -> EngineReport:
        supervisor = self.supervisor
        return EngineReport(
            model=self.model.name,
            state=supervisor.state,
            pid=supervisor.pid,
            restarts=supervisor.restarts,
            started_in_s=supervisor.started_in_s,
            error=supervisor.error,
        )

    def state_of(self, expert: ExpertSpec) -> tuple[ExpertState, str | None]:
        """The expert's state, and what is wrong with it or with the last attempt to start its engine."""
        state, error = _STATES[self.supervisor.state], self.supervisor.error
        if not expert.adapter or state not in {"ready", "loading"} or self.digest(expert):
            return state, error
        if expert.name in self._loading or (state == "loading" and expert.name in self._wanted):
            return "loading", error
        if expert.name in self._broken:
            return "failed", self._broken[expert.name]
        return "unloaded", None

    def digest(self, expert: ExpertSpec) -> str | None:
        """Of the adapter that answers now as `expert`."""
        adapters = self._engine.adapters if self._engine else None
        return adapters.digest(expert.name) if adapters else None

    @contextmanager
    def lease(self, expert: ExpertSpec) -> Iterator[str]:
        """The name to ask the engine for, good until the lease ends. Only for an expert that is ready."""
        if not expert.adapter:
            yield self.model.base_name
            return
        assert self._engine is not None, "an expert that is ready has an engine"
        assert self._engine.adapters is not None, "and room for its adapter"
        with self._engine.adapters.lease(expert.name) as served_name:
            yield served_name

    async def load(self, expert: ExpertSpec) -> bool:
        """Let the expert answer with its adapter as it is now; False where it does already.

        What is loaded stays so when the engine is started again. Raises `SourceError`, and `EngineAwayError`.
        """
        engine = self._running_engine()
        if engine is None or not expert.adapter:
            return False
        self._loading.add(expert.name)
        self._on_change()
        try:
            async with asyncio.timeout(_LOAD_DEADLINE_S):
                changed = await engine.load(expert)
            self._require(engine)
        except TimeoutError as error:
            raise EngineAwayError(
                f"expert `{expert.name}` was not loaded within {_LOAD_DEADLINE_S:.0f} s: see the log, try again"
            ) from error
        except SourceError as error:
            self._require(engine)
            self._broken[expert.name] = str(error)
            raise
        finally:
            self._loading.discard(expert.name)
            self._on_change()
        self._broken.pop(expert.name, None)
        del self._deaths[expert.name]
        self._wanted.add(expert.name)
        return changed

    def unload(self, expert: ExpertSpec) -> bool:
        """Refuse requests to the expert from now on; those that run end in peace. False where it was so already.

        Raises `NotUnloadableError` where the expert is its model itself.
        """
        if not expert.adapter:
            raise NotUnloadableError(
                f"expert `{expert.name}` has no adapter: it is model `{self.model.name}` itself, which other experts "
                "may need; take it out of the configuration instead"
            )
        known = expert.name in self._wanted or expert.name in self._broken
        self._wanted.discard(expert.name)
        self._broken.pop(expert.name, None)
        adapters = self._engine.adapters if self._engine else None
        held = adapters.drop(expert.name) if adapters else False
        self._on_change()
        return held or known

    def _running_engine(self) -> OwnEngine | None:
        """Our own engine; None where the server is not ours. Raises `EngineAwayError` where it does not serve now."""
        if self.supervisor.state != "ready":
            reason = f" ({self.supervisor.error})" if self.supervisor.error else ""
            raise EngineAwayError(
                f"the engine of model `{self.model.name}` is {self.supervisor.state}{reason}: try again when `coe ps` "
                "shows its other experts ready"
            )
        return self._engine

    def _require(self, engine: OwnEngine) -> None:
        if engine is not self._engine or self.supervisor.state != "ready":
            raise EngineAwayError(f"the engine of model `{self.model.name}` ended meanwhile: try again when it is back")

    def _life(self) -> Supervised:
        if self.model.url:
            return AttachedServer(model=self.model, session=self.session, base_url=self.base_url)
        self._broken = {}
        self._engine = OwnEngine(
            model=self.model,
            experts=self._experts,
            wanted=self._wanted,
            device=self._worker.device,
            cache_dir=self._worker.cache_dir,
            socket=self._socket,
            session=self.session,
            command=self._command,
            broken=self._broken,
            deaths=self._deaths,
        )
        return self._engine


@dataclass(frozen=True, slots=True)
class HostedExpert:
    """One expert as the data port serves it."""

    spec: ExpertSpec
    host: HostedModel
    admission: Admission
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def session(self) -> aiohttp.ClientSession:
        return self.host.session

    @property
    def base_url(self) -> str:
        return self.host.base_url

    def refusal(self) -> Failure | None:
        state, error = self.host.state_of(self.spec)
        match state:
            case "ready":
                return None
            case "loading":
                return Failure(503, "expert_loading", f"expert `{self.name}` is being loaded", _LOADING_RETRY_S)
            case "failed":
                reason = f"expert `{self.name}` cannot be served: {error}"
                return Failure(503, "expert_unavailable", reason, _FAILED_RETRY_S)
            case "unloaded":
                remedy = f"expert `{self.name}` is not loaded: load it with `coe load {self.name}`"
                return Failure(503, "expert_unloaded", remedy, _FAILED_RETRY_S)
            case "draining":
                return Failure(503, "draining", "this worker is being stopped: ask another one", _LOADING_RETRY_S)

    @contextmanager
    def lease(self) -> Iterator[ExpertRequest]:
        """How to ask the engine, good until the lease ends. Raises `RefusedError` where the expert cannot answer."""
        if failure := self.refusal():
            raise RefusedError(failure)
        with self.host.lease(self.spec) as served_name:
            yield ExpertRequest(self.spec, served_name)

    async def load(self) -> bool:
        """See `HostedModel.load`; after what else is under way with this expert."""
        async with self._changing:
            return await self.host.load(self.spec)

    async def unload(self) -> bool:
        """See `HostedModel.unload`; after what else is under way with this expert."""
        async with self._changing:
            return self.host.unload(self.spec)

    def report(self, *, draining: bool) -> ExpertReport:
        state, error = self.host.state_of(self.spec)
        return ExpertReport(
            name=self.name,
            model=self.spec.model,
            state="draining" if draining else state,
            tier="device" if state == "ready" else "disk",
            running=self.admission.running,
            waiting=self.admission.waiting,
            error=error,
            adapter=self.host.digest(self.spec),
        )


def hosted_experts(worker: WorkerSpec, hosts: Sequence[HostedModel]) -> dict[str, HostedExpert]:
    """Every expert of `worker` by name, on its model among `hosts`."""
    models = {host.model.name: host for host in hosts}
    experts = {}
    for spec in worker.experts:
        host = models[spec.model]
        admission = Admission(
            spec.name,
            max_running=worker.max_running,
            max_queued=worker.max_queued,
            queue_timeout_s=worker.queue_timeout_s,
        )
        experts[spec.name] = HostedExpert(spec, host, admission)
    return experts


def attached_session() -> aiohttp.ClientSession:
    """A session to a server that is not ours and may close idle connections after five seconds."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3.0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0),
        headers={"accept-encoding": "identity", "content-type": "application/json"},
    )


def _base_url(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")
