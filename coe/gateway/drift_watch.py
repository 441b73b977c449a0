"""Watches a gateway's decisions for drift: decisions in, log lines and gauges out, the baseline shared over Redis.

What drift is, `routers.drift` knows; this module knows where baselines are kept and whom to tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from coe.routing import RouterCard
from coe.store.client import STORE_ERRORS
from coe.store.drift_baselines import DriftBaselines
from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import DRIFT, PSI, REJECTION_RATIO
from routers.drift import SIGNALS, DriftMonitor, Reading, Signal

KEPT_ROUTERS = 2  # the one in force, and the one before it, whose last streams still end
log = get_logger("coe.gateway.drift")

_REMEDY: dict[Signal, str] = {
    "rejection": "the router abstains on another share of prompts than it did; see `coe discover`, or train it again",
    "mix": "prompts fall into other categories than they did; check the expert map and the capacity of the experts",
}


@dataclass(frozen=True, slots=True)
class DriftStatus:
    """Decisions in the window of `window`, and the last look; no look yet where `reading` is None."""

    window: int
    decisions: int
    reading: Reading | None


@dataclass(slots=True)
class _Watched:
    """`agreed`: the monitor has the baseline that all gateways share."""

    monitor: DriftMonitor
    agreed: bool = False


class DriftWatch:
    """One monitor per router version. Used by one task."""

    def __init__(self, baselines: DriftBaselines, window: int, false_alarm: float) -> None:
        self._baselines = baselines
        self._window = window
        self._false_alarm = false_alarm
        self._watched: dict[str, _Watched] = {}  # by version, the latest last

    async def observe(self, router: RouterCard, categories: Iterable[str | None]) -> None:
        """Takes decisions of one router, None where it abstained. A version that is not known begins anew."""
        watched = self._of(router)
        monitor = watched.monitor
        for category in categories:
            before = monitor.reading
            if reading := monitor.observe(category):
                _tell(router, before, reading)
        if not watched.agreed and monitor.seen == self._window:
            watched.agreed = await self._agree(router, monitor)

    def status(self, router: RouterCard) -> DriftStatus:
        """Of `router`; empty where it has not decided anything yet."""
        watched = self._watched.get(router.version)
        if watched is None:
            return DriftStatus(self._window, 0, None)
        return DriftStatus(self._window, watched.monitor.seen, watched.monitor.reading)

    def _of(self, router: RouterCard) -> _Watched:
        watched = self._watched.pop(router.version, None) or self._begin(router)
        self._watched[router.version] = watched
        if len(self._watched) > KEPT_ROUTERS:
            del self._watched[next(iter(self._watched))]
        return watched

    def _begin(self, router: RouterCard) -> _Watched:
        for signal in SIGNALS:
            DRIFT.labels(signal).set(0)
        return _Watched(DriftMonitor(router.reject_rate, self._window, self._false_alarm))

    async def _agree(self, router: RouterCard, monitor: DriftMonitor) -> bool:
        """Takes the shared baseline. Without Redis this gateway's own stands, and it is offered again later."""
        own = monitor.baseline or monitor.counts()
        try:
            baseline, shared = await self._baselines.agree(router.version, own), True
        except STORE_ERRORS:
            baseline, shared = own, False
        if baseline != monitor.baseline:
            monitor.compare_with(baseline)
        return shared


def _tell(router: RouterCard, before: Reading | None, reading: Reading) -> None:
    REJECTION_RATIO.set(reading.rejection_ratio)
    PSI.set(reading.psi)
    was = before.drifted if before else frozenset()
    for signal in SIGNALS:
        DRIFT.labels(signal).set(signal in reading.drifted)
        if (signal in was) == (signal in reading.drifted):
            continue
        facts = {
            "kind": signal,
            "router_version": router.version,
            "rejection_ratio": round(reading.rejection_ratio, 4),
            "expected_rejection_ratio": reading.expected,
            "psi": round(reading.psi, 4),
        }
        if signal in reading.drifted:
            log.warning("router drift", remedy=_REMEDY[signal], **facts)
        else:
            log.info("router drift is over", **facts)
