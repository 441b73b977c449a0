"""Watches a gateway's decisions for drift: decisions in, log lines and gauges out, the baseline shared over Redis.

What drift is, `routers.drift` knows; this module knows where baselines are kept and whom to tell.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from coe.store.client import STORE_ERRORS
from coe.store.drift_baselines import DriftBaselines
from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import DRIFT, PSI, REJECTION_RATIO
from routers.drift import SIGNALS, DriftMonitor, Reading, Signal

log = get_logger("coe.gateway.drift")

_REMEDY: dict[Signal, str] = {
    "rejection": "the router abstains on another share of prompts than it did; see `coe discover`, or train it again",
    "mix": "prompts fall into other categories than they did; check the expert map and the capacity of the experts",
}


@dataclass(frozen=True, slots=True)
class RouterCard:
    """What the gateway tells of the router that decides now. `reject_rate` in [0, 1)."""

    version: str
    categories: tuple[str, ...]
    reject_rate: float


@dataclass(frozen=True, slots=True)
class DriftStatus:
    """Decisions in the window of `window`, and the last look; no look yet where `reading` is None."""

    window: int
    decisions: int
    reading: Reading | None


class DriftWatch:
    """One monitor, for one router version at a time. Used by one task."""

    def __init__(self, baselines: DriftBaselines, window: int, false_alarm: float) -> None:
        self._baselines = baselines
        self._window = window
        self._false_alarm = false_alarm
        self._version = ""
        self._monitor = DriftMonitor(0.0, window, false_alarm)
        self._agreed = False

    async def observe(self, router: RouterCard, categories: Iterable[str | None]) -> None:
        """Takes decisions of one router, None where it abstained. A version unlike the last one begins anew."""
        if router.version != self._version:
            self._begin(router)
        for category in categories:
            before = self._monitor.reading
            if reading := self._monitor.observe(category):
                _tell(router, before, reading)
        if not self._agreed and self._monitor.seen == self._window:
            await self._agree()

    def status(self, router: RouterCard) -> DriftStatus:
        """Of `router`; empty where it has not decided anything yet."""
        if router.version != self._version:
            return DriftStatus(self._window, 0, None)
        return DriftStatus(self._window, self._monitor.seen, self._monitor.reading)

    def _begin(self, router: RouterCard) -> None:
        self._version = router.version
        self._monitor = DriftMonitor(router.reject_rate, self._window, self._false_alarm)
        self._agreed = False
        for signal in SIGNALS:
            DRIFT.labels(signal).set(0)

    async def _agree(self) -> None:
        """Takes the shared baseline. Without Redis this gateway's own stands, and it is offered again later."""
        own = self._monitor.baseline or self._monitor.counts()
        try:
            baseline = await self._baselines.agree(self._version, own)
            self._agreed = True
        except STORE_ERRORS:
            baseline = own
        if baseline != self._monitor.baseline:
            self._monitor.compare_with(baseline)


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
