"""The gateway's picture of the workers, kept fresh in the background, read on the request path without waiting.

Sources are asked in order until one answers: Redis first, the workers themselves where Redis is away. Between
refreshes the last picture stands.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from coe.gateway.dispatch import Candidate, SentLedger, best_first
from coe.plan.worker_expert import Endpoint
from coe.store.client import STORE_ERRORS
from coe.telemetry.logs import get_logger
from workers.reports import ExpertReport, WorkerReport

REFRESH_S = 0.5
SUSPECT_S = 2.0
log = get_logger("coe.gateway.fleet")


class SourceAwayError(Exception):
    """A source of reports cannot be asked now."""


class ReportSource(Protocol):
    """Somewhere to learn what the workers hold. Raises SourceAwayError or one of STORE_ERRORS when it is away."""

    async def reports(self) -> list[WorkerReport]: ...


@dataclass(frozen=True, slots=True)
class _Holder:
    """A worker that holds an expert. `load` is of all its experts; `swaps_s`: what each would take to come in."""

    report: WorkerReport
    held: ExpertReport
    load: int
    swaps_s: Mapping[str, float]


class Fleet:
    """All workers of the service as last reported. One event loop uses it.

    Args:
        sources: where to learn what the workers hold, the best first.
        at_once: requests of one expert that a worker runs together, by group.
    """

    def __init__(self, sources: Sequence[ReportSource], at_once: Mapping[str, int] | None = None) -> None:
        self._sources = sources
        self._at_once = at_once or {}
        self._reports: list[WorkerReport] = []
        self._holders: dict[str, list[_Holder]] = {}
        self._sent = SentLedger()
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
                self._take(reports)
                self._source_in_use = source
                return

    def _take(self, reports: list[WorkerReport]) -> None:
        holders: dict[str, list[_Holder]] = {}
        for report in reports:
            load = sum(held.running + held.waiting for held in report.experts)
            swaps_s = {held.name: held.swap_s for held in report.experts if held.tier != "device"}
            for held in report.experts:
                holders.setdefault(held.name, []).append(_Holder(report, held, load, swaps_s))
        self._reports, self._holders = reports, holders
        self._sent.keep_only(report.worker_id for report in reports)

    def reports(self) -> Iterable[WorkerReport]:
        return self._reports

    def endpoints(self, expert: str) -> list[Endpoint]:
        """Workers that can answer as the expert: those that hold it and have room, then by the expected wait."""
        return [
            Endpoint(found.report.worker_id, found.report.url, found.held.tier)
            for found in best_first(self._candidates(expert))
        ]

    def is_resident(self, expert: str) -> bool:
        """Some worker can answer as the expert without a swap, now or after requests that came before."""
        return any(found.held.tier == "device" for found in self._candidates(expert))

    def has_room(self, expert: str) -> bool:
        """Some worker would answer as the expert at once."""
        return any(found.has_room for found in self._candidates(expert))

    def began(self, endpoint: Endpoint, expert: str) -> None:
        self._sent.began(endpoint.worker_id, expert, time.time())

    def ended(self, endpoint: Endpoint, expert: str) -> None:
        self._sent.ended(endpoint.worker_id, expert, time.time())

    def _candidates(self, expert: str) -> list[Candidate]:
        now = time.monotonic()
        return [
            self._candidate(holder)
            for holder in self._holders.get(expert, ())
            if holder.held.state == "ready" and not self._is_suspect(holder.report.url, now)
        ]

    def _candidate(self, holder: _Holder) -> Candidate:
        report, name = holder.report, holder.held.name
        sent = self._sent.since(report.worker_id, report.at, time.time())
        others_s = sum(holder.swaps_s.get(other, 0.0) for other, count in sent.items() if other != name and count > 0)
        at_once = self._at_once.get(report.group, 1)
        return Candidate(report, holder.held, holder.load + sent.total(), sent[name], others_s, at_once)

    def queue(self, expert: str) -> str | None:
        """How a request fares that waits for the expert, in words; None where one would run at once."""
        candidates = best_first(self._candidates(expert))
        if not candidates or candidates[0].has_room or not candidates[0].wait_s:
            return None
        best = candidates[0]
        return f"queued for {expert} behind {best.held.waiting}, about {best.wait_s:.0f} s"

    def why_unavailable(self, expert: str) -> str:
        states = [holder.held for holder in self._holders.get(expert, ())]
        if errors := [found.error for found in states if found.error]:
            return f"The expert `{expert}` cannot answer: {errors[0]}"
        if any(found.state == "loading" for found in states):
            return f"The expert `{expert}` is loading. Try again soon."
        if any(found.state == "unloaded" for found in states):
            return f"The expert `{expert}` is not loaded. Load it with `coe load {expert}`."
        return f"No worker holds the expert `{expert}` now. Try again soon; `coe ps` shows the workers."

    def adapters(self, expert: str) -> str:
        """Digests of the adapters that workers answer with as the expert; empty for one that has none."""
        found = {holder.held.adapter for holder in self._holders.get(expert, ()) if holder.held.adapter}
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
