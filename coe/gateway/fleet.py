"""The gateway's picture of the workers, kept fresh in the background, read on the request path without waiting.

Sources are asked in order until one answers: Redis first, the workers themselves where Redis is away. Between
refreshes the last picture stands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from coe.plan.worker_expert import Endpoint
from coe.store.client import STORE_ERRORS
from coe.telemetry.logs import get_logger
from workers.spec import ExpertReport, WorkerReport

REFRESH_S = 0.5
SUSPECT_S = 2.0
log = get_logger("coe.gateway.fleet")


class SourceAwayError(Exception):
    """A source of reports cannot be asked now."""


class ReportSource(Protocol):
    """Somewhere to learn what the workers hold. Raises SourceAwayError or one of STORE_ERRORS when it is away."""

    async def reports(self) -> list[WorkerReport]: ...


class Fleet:
    """All workers of the service as last reported. One event loop uses it."""

    def __init__(self, sources: Sequence[ReportSource]) -> None:
        self._sources = sources
        self._reports: list[WorkerReport] = []
        self._suspected: dict[str, float] = {}
        self._source_in_use: ReportSource | None = None

    async def keep_fresh(self) -> None:
        """Refreshes until cancelled."""
        while True:
            await self.refresh()
            await asyncio.sleep(REFRESH_S)

    async def refresh(self) -> None:
        """Takes the picture of the first source that answers and knows a worker."""
        for source in self._sources:
            try:
                reports = await source.reports()
            except (SourceAwayError, *STORE_ERRORS) as error:
                if source is self._source_in_use:
                    log.warning("lost a source of worker reports", source=type(source).__name__, error=repr(error))
                continue
            if reports or source is self._sources[-1]:
                self._reports = reports
                self._source_in_use = source
                return

    def reports(self) -> Iterable[WorkerReport]:
        return self._reports

    def endpoints(self, expert: str) -> list[Endpoint]:
        """Workers that can answer as the expert, the least loaded first."""
        now = time.monotonic()
        ready = [
            (found.running + found.waiting, report)
            for report in self._reports
            if (found := _find(report, expert)) and found.state == "ready" and not self._is_suspect(report.url, now)
        ]
        ready.sort(key=lambda pair: pair[0])
        return [Endpoint(report.worker_id, report.url) for _, report in ready]

    def why_unavailable(self, expert: str) -> str:
        states = [found for report in self._reports if (found := _find(report, expert))]
        if errors := [found.error for found in states if found.error]:
            return f"The expert `{expert}` cannot answer: {errors[0]}"
        if any(found.state == "loading" for found in states):
            return f"The expert `{expert}` is loading. Try again soon."
        if any(found.state == "unloaded" for found in states):
            return f"The expert `{expert}` is not loaded. Load it with `coe load {expert}`."
        return f"No worker holds the expert `{expert}` now. Try again soon; `coe ps` shows the workers."

    def adapters(self, expert: str) -> str:
        """Digests of the adapters that workers answer with as the expert; empty for one that has none."""
        found = {held.adapter for report in self._reports if (held := _find(report, expert)) and held.adapter}
        return ",".join(sorted(found))

    def states(self) -> dict[str, str]:
        """The best state of every expert that some worker reports: `ready` over `loading` over the others."""
        order = ("failed", "draining", "unloaded", "loading", "ready")
        best: dict[str, str] = {}
        for report in self._reports:
            for found in report.experts:
                if order.index(found.state) >= order.index(best.get(found.name, "failed")):
                    best[found.name] = found.state
        return best

    def suspect(self, endpoint: Endpoint) -> None:
        self._suspected[endpoint.url] = time.monotonic() + SUSPECT_S
        log.warning("worker does not answer", worker=endpoint.worker_id, url=endpoint.url)

    def _is_suspect(self, url: str, now: float) -> bool:
        return self._suspected.get(url, 0.0) > now


def _find(report: WorkerReport, expert: str) -> ExpertReport | None:
    return next((found for found in report.experts if found.name == expert), None)
