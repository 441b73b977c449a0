"""A model with its experts on one worker: specifications go in, what the data port and the report need comes out."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from workers.admission import Admission
from workers.engine import ENGINE_URL, EngineCommand, engine_session
from workers.lives import AttachedServer, OwnEngine
from workers.openai_errors import Failure
from workers.requests import ExpertRequest
from workers.spec import EngineReport, ExpertReport, ExpertSpec, ExpertState, ModelSpec, WorkerSpec
from workers.supervisor import Backoff, Supervised, Supervisor

_LOADING_RETRY_S = 5.0
_FAILED_RETRY_S = 30.0
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
        self.broken: dict[str, str] = {}
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

    def state_of(self, expert: str) -> tuple[ExpertState, str | None]:
        """The expert's state, and what is wrong with it or with the last attempt to start its engine."""
        state = _STATES[self.supervisor.state]
        if state == "ready" and expert in self.broken:
            return "failed", self.broken[expert]
        return state, self.supervisor.error

    def _life(self) -> Supervised:
        if self.model.url:
            return AttachedServer(model=self.model, session=self.session, base_url=self.base_url)
        self.broken = {}
        return OwnEngine(
            model=self.model,
            experts=self._experts,
            device=self._worker.device,
            cache_dir=self._worker.cache_dir,
            socket=self._socket,
            command=self._command,
            broken=self.broken,
        )


@dataclass(frozen=True, slots=True)
class HostedExpert:
    """One expert as the data port serves it."""

    spec: ExpertSpec
    host: HostedModel
    admission: Admission
    request: ExpertRequest

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
        state, error = self.host.state_of(self.name)
        match state:
            case "ready":
                return None
            case "loading":
                return Failure(503, "expert_loading", f"expert `{self.name}` is being loaded", _LOADING_RETRY_S)
            case "failed":
                reason = f"expert `{self.name}` cannot be served: {error}"
                return Failure(503, "expert_unavailable", reason, _FAILED_RETRY_S)
            case "draining":
                return Failure(503, "draining", "this worker is being stopped: ask another one", _LOADING_RETRY_S)

    def report(self, *, draining: bool) -> ExpertReport:
        state, error = self.host.state_of(self.name)
        return ExpertReport(
            name=self.name,
            model=self.spec.model,
            state="draining" if draining else state,
            tier="device" if state == "ready" else "disk",
            running=self.admission.running,
            waiting=self.admission.waiting,
            error=error,
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
        served = spec.name if spec.adapter else host.model.base_name
        experts[spec.name] = HostedExpert(spec, host, admission, ExpertRequest(spec, served))
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
