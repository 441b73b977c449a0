"""A worker: experts and the models below them go in, an HTTP port that serves them and reports about them come out.

    spec ─▶ HostedModel (one engine, supervised) ◀─ HostedExpert (prompt, defaults, admission) ◀─ DataPort ◀─ clients
               └──────────── every change, and every two seconds ──▶ report ─▶ on_report

Whoever hosts it decides where it runs and what becomes of its reports.
"""

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from workers.data_port import DataPort
from workers.engine import EngineCommand, engine_command
from workers.errors import EngineAwayError, UnknownExpertError, WorkerError
from workers.hosting import HostedExpert, HostedModel, hosted_experts
from workers.joined import Joined
from workers.spec import LoadReport, WorkerReport, WorkerSpec
from workers.supervisor import DEFAULT_BACKOFF, Backoff

OnReport = Callable[[WorkerReport], Awaitable[None]]

_LOG = logging.getLogger("coe.worker")
_REPORT_PERIOD_S = 2.0
_REPORT_TIMEOUT_S = 10.0
_POLL_S = 0.05


class NotReadyError(WorkerError):
    """Some experts were still being loaded at the deadline."""


class ExpertWorker:
    """Serves the experts of `spec`. Make it anywhere; start it once, in the thread and loop that it shall live in.

    `on_report` is awaited at every change of a state and every two seconds, never twice at once; where it fails or
    takes longer than ten seconds that is logged and has no other effect.
    """

    def __init__(
        self,
        spec: WorkerSpec,
        *,
        worker_id: str,
        on_report: OnReport | None = None,
        command: EngineCommand = engine_command,
        backoff: Backoff = DEFAULT_BACKOFF,
    ) -> None:
        self.spec = spec
        self.worker_id = worker_id
        self._on_report = on_report
        self._command = command
        self._backoff = backoff
        self._changed = asyncio.Event()
        self._hosts: list[HostedModel] = []
        self._experts: dict[str, HostedExpert] = {}
        self._port = DataPort(self._experts, report=self._report_json, host=spec.host, token=spec.token)
        self._reporting: asyncio.Task[None] | None = None
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
        for number, model in enumerate(self.spec.models):
            host = HostedModel(
                model,
                self.spec,
                socket=run_dir / f"{label}-{number}.sock",
                command=self._command,
                backoff=self._backoff,
                on_change=self._changed.set,
            )
            self._hosts.append(host)
        self._experts.update(hosted_experts(self.spec, self._hosts))
        if self._on_report:
            self._reporting = asyncio.create_task(self._keep_reporting(self._on_report), name="reports")

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
            if self._reporting:
                self._reporting.cancel()
            await self._changes.close()
            await self._port.stop()
            await asyncio.gather(*(host.close() for host in self._hosts))

    async def load(self, expert: str) -> LoadReport:
        """Read the expert's adapter anew and let it answer, in the running engine; nothing where it does already.

        Requests that run on an earlier adapter end on it. Calls that come while one is under way share its outcome.
        Raises `SourceError` where the adapter is refused, then what was loaded before stays; `EngineAwayError`;
        `UnknownExpertError`.
        """
        return await self._change("load", expert, HostedExpert.load)

    async def unload(self, expert: str) -> LoadReport:
        """Refuse requests to the expert from now on, and free its adapter when those that run have ended.

        Raises `NotUnloadableError` where it has no adapter; `UnknownExpertError`; `EngineAwayError`.
        """
        return await self._change("unload", expert, HostedExpert.unload)

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
        )

    async def wait_ready(self, timeout_s: float) -> WorkerReport:
        """Return once no expert is being loaded any more: each is ready or failed. Raises `NotReadyError`."""
        try:
            async with asyncio.timeout(timeout_s):
                while any(expert.state == "loading" for expert in self.report().experts):  # noqa: ASYNC110  the same
                    await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            late = [expert for expert in self.report().experts if expert.state == "loading"]
            reasons = ", ".join(f"`{expert.name}`" + (f" ({expert.error})" if expert.error else "") for expert in late)
            raise NotReadyError(f"not loaded after {timeout_s:g} s: {reasons}") from error
        return self.report()

    def _busy(self) -> bool:
        return any(expert.admission.running or expert.admission.waiting for expert in self._experts.values())

    def _report_json(self) -> bytes:
        return self.report().to_json()

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
