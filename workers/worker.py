"""A worker: experts and the models below them go in, an HTTP port that serves them and reports about them come out.

    clients ─▶ DataPort ─▶ HostedExpert (prompt, defaults) ─▶ Admission (turns) ─▶ Residency (swaps) ─▶ Device
                                  └─▶ HostedEngine (one family's engine, supervised) ◀───────────────────┘
    every change, and every two seconds ─▶ report ─▶ on_report

Whoever hosts it decides where it runs and what becomes of its reports.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from workers.admission import Admission, Limits
from workers.device import Device, empty_memory, first_residents, is_movable
from workers.engine.hosted_engine import HostedEngine
from workers.engine.server import EngineCommand, engine_command
from workers.engine.supervisor import DEFAULT_BACKOFF, Backoff
from workers.errors import EngineAwayError, NotResidentError, UnknownExpertError, WorkerError
from workers.hosted_expert import HostedExpert
from workers.joined import Joined
from workers.pins import Pins
from workers.policies import make_policy
from workers.port.data_port import DataPort
from workers.port.serving import OnServed
from workers.report_json import report_to_json
from workers.reports import LoadReport, WorkerReport
from workers.residency import Residency
from workers.spec import WorkerSpec

OnReport = Callable[[WorkerReport], Awaitable[None]]

_LOG = logging.getLogger("coe.worker")
_REPORT_PERIOD_S = 2.0
_REPORT_TIMEOUT_S = 10.0
_POLL_S = 0.05
_AWAY_RETRY_S = 10.0
_IDLE_PERIOD_S = 1.0


class NotReadyError(WorkerError):
    """Some experts were still being loaded at the deadline."""


class ExpertWorker:
    """Serves the experts of `spec`. Make it anywhere; start it once, in the thread and loop that it shall live in.

    `on_report` is awaited at every change of a state and every two seconds, never twice at once; where it fails or
    takes longer than ten seconds that is logged and has no other effect. `on_served` is called at the end of every
    request, on its path: it must be quick and not fail.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        worker_id: str,
        on_report: OnReport | None = None,
        on_served: OnServed | None = None,
        command: EngineCommand = engine_command,
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> None:
        self.spec = spec
        self.worker_id = worker_id
        self._on_report = on_report
        self._command = command
        self._backoff = backoff
        self._changed = asyncio.Event()
        self._hosts: list[HostedEngine] = []
        self._experts: dict[str, HostedExpert] = {}
        self._residency: Residency | None = None
        self._admission: Admission | None = None
        self._port = DataPort(
            self._experts, report=self._report_json, host=spec.host, token=spec.token, on_served=on_served
        )
        self._background: list[asyncio.Task[None]] = []
        self._changes = Joined[LoadReport]()
        self._epoch = 0

    @property
    def url(self) -> str:
        """Where the data port listens; empty before `start`."""
        return self._port.url

    async def start(self) -> None:
        """Return when the data port listens; models are then loaded in the background. Raises `OSError`."""
        label = hashlib.sha256(self.worker_id.encode()).hexdigest()[:8]
        run_dir = self.spec.run_dir.expanduser().absolute()
        run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._epoch = _next_epoch(run_dir / f"{label}.epoch")
        await self._port.start()
        self._host(run_dir, label)
        if self._on_report:
            self._background.append(asyncio.create_task(self._keep_reporting(self._on_report), name="reports"))
        if any(model.idle_s is not None for model in self.spec.models):
            self._background.append(asyncio.create_task(self._put_idle_away(), name="idle"))

    async def stop(self) -> None:
        """Refuse new requests, let the running ones finish for `drain_timeout_s`, then end engines and port."""
        self._port.draining = True
        self._changed.set()
        try:
            async with asyncio.timeout(self.spec.drain_timeout_s):
                while self._busy():  # noqa: ASYNC110  every request would have to set an event
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            _LOG.warning("requests still ran after %g s and were ended", self.spec.drain_timeout_s)
        finally:
            for task in self._background:
                task.cancel()
            await self._changes.close()
            await self._port.stop()
            if self._admission:
                await self._admission.close()
            await asyncio.gather(*(host.close() for host in self._hosts))

    async def load(self, expert: str) -> LoadReport:
        """Make the expert's model resident, read its adapter anew and let it answer; nothing where it does already.

        Requests that run on an earlier adapter end on it. Calls that come while one is under way share its outcome.
        Raises `SourceError` where the model or adapter is refused, then what was loaded before stays; `EngineError`;
        `AdmissionError` where there is no place for it; `UnknownExpertError`.
        """
        return await self._change("load", expert, HostedExpert.load)

    async def unload(self, expert: str) -> LoadReport:
        """Free the expert's adapter or, where it has none, its model's place, when the requests that run have ended.

        Later requests to an unloaded adapter are refused; those to a model bring it back. Raises `NotUnloadableError`
        where the model always stays; `UnknownExpertError`; `EngineError`.
        """
        return await self._change("unload", expert, HostedExpert.unload)

    async def pin(self, expert: str) -> LoadReport:
        """Make the expert's model resident, load its adapter, and keep both. Raises as `load`."""
        return await self._change("pin", expert, HostedExpert.pin)

    async def unpin(self, expert: str) -> LoadReport:
        """Let the expert's model and adapter leave again. Raises `UnknownExpertError`."""
        return await self._change("unpin", expert, HostedExpert.unpin)

    async def _change(self, verb: str, expert: str, change: Callable[[HostedExpert], Awaitable[bool]]) -> LoadReport:
        hosted = self._experts.get(expert)
        if hosted is None:
            raise UnknownExpertError(f"worker {self.worker_id} has no expert `{expert}`: see `coe ps`")
        if self._port.draining:
            raise EngineAwayError(f"worker {self.worker_id} is being stopped: try again when `coe ps` shows it ready")

        async def changed() -> LoadReport:
            began = time.monotonic()
            happened = await change(hosted)
            state = hosted.report(draining=self._port.draining).state
            return LoadReport(
                worker_id=self.worker_id,
                expert=expert,
                state=state,
                changed=happened,
                seconds=round(time.monotonic() - began, 3),
            )

        return await self._changes.run((verb, expert), changed)

    def report(self) -> WorkerReport:
        """What this worker serves now."""
        return WorkerReport(
            worker_id=self.worker_id,
            group=self.spec.group,
            url=self.url,
            pid=os.getpid(),
            epoch=self._epoch,
            experts=tuple(expert.report(draining=self._port.draining) for expert in self._experts.values()),
            engines=tuple(host.report() for host in self._hosts),
            swaps=tuple(self._residency.reports) if self._residency else (),
        )

    async def wait_ready(self, timeout_s: float) -> WorkerReport:
        """Return once no expert is being loaded any more: each is ready or failed. Raises `NotReadyError`."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(expert.state == "loading" for expert in self.report().experts):  # noqa: ASYNC110  every state would have to set an event
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            late = [expert for expert in self.report().experts if expert.state == "loading"]
            reasons = ", ".join(f"`{expert.name}`" + (f" ({expert.error})" if expert.error else "") for expert in late)
            raise NotReadyError(f"not loaded after {timeout_s:g} s: {reasons}") from error
        return self.report()

    def _busy(self) -> bool:
        return self._admission is not None and self._admission.busy

    def _host(self, run_dir: Path, label: str) -> None:
        """Engines, what is resident in them, who is let in, and the experts, from the bottom up."""
        spec = self.spec
        first = first_residents(spec)
        for number, (name, models) in enumerate(spec.families.items()):
            host = HostedEngine(
                models,
                spec,
                first=first.get(name),
                socket=run_dir / f"{label}-{number}.sock",
                command=self._command,
                backoff=self._backoff,
                on_change=self._engine_changed,
            )
            self._hosts.append(host)
        policy = make_policy(spec.memory, spec.max_running)
        residency = Residency(empty_memory(spec), Device(spec, self._hosts), policy, on_change=self._changed.set)
        limits = Limits(max_running=spec.max_running, max_queued=spec.max_queued, queue_timeout_s=spec.queue_timeout_s)
        homes = {expert.name: expert.model for expert in spec.experts}
        admission = Admission(residency, homes, policy, limits, on_change=self._changed.set)
        hosts = {model: host for host in self._hosts for model in host.models}
        idle_s = {model.name: model.idle_s for model in spec.models}
        pins = Pins(residency.memory, homes)
        for expert in spec.experts:
            if expert.pinned:
                pins.add(expert.name)
        for expert in spec.experts:
            self._experts[expert.name] = HostedExpert(
                spec=expert,
                host=hosts[expert.model],
                admission=admission,
                residency=residency,
                pins=pins,
                movable=is_movable(spec, expert.model),
                idle_s=idle_s[expert.model],
            )
        self._residency, self._admission = residency, admission

    def _engine_changed(self) -> None:
        self._changed.set()
        if self._residency is None or self._admission is None:
            return
        self._residency.sync()
        for host in self._hosts:
            if host.away:
                away = NotResidentError(f"the engine of `{host.name}` ended: it is started again", _AWAY_RETRY_S)
                for model in host.models:
                    self._admission.refuse(model, away)
        self._admission.advance()

    async def _put_idle_away(self) -> None:
        assert self._admission is not None, "started after the experts"
        while True:
            await asyncio.sleep(_IDLE_PERIOD_S)
            for expert in self._experts.values():
                report = expert.report(draining=False)
                if report.unload_in_s == 0.0 and not report.waiting:
                    try:
                        await self._admission.put_away(expert.spec.model)
                    except WorkerError as error:
                        _LOG.warning("`%s` could not be put away: %s", expert.spec.model, error)

    def _report_json(self) -> bytes:
        return report_to_json(self.report())

    async def _keep_reporting(self, on_report: OnReport) -> None:
        while True:
            self._changed.clear()
            try:
                async with asyncio.timeout(_REPORT_TIMEOUT_S):
                    await on_report(self.report())
            except Exception:  # noqa: BLE001  a stranger's code: what fails there must not end our reports
                _LOG.exception("a report of worker %s could not be delivered", self.worker_id)
            try:
                async with asyncio.timeout(_REPORT_PERIOD_S):
                    await self._changed.wait()
            except TimeoutError:
                continue


def _next_epoch(path: Path) -> int:
    """A number above all that this worker had, also where its file was lost: never below the seconds since 1970."""
    try:
        last = int(path.read_text())
    except (OSError, ValueError):
        last = 0
    epoch = max(last + 1, int(time.time()))
    path.write_text(str(epoch))
    return epoch
