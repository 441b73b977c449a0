"""What a worker reports in; out go its report and new swaps into Redis, and its swaps' metrics.

Metrics are counted here, in the worker's own process, so that a swap counts once however many gateways see its report,
and also while Redis is away.
"""

from __future__ import annotations

from coe.store.client import STORE_ERRORS
from coe.store.directory import RedisDirectory
from coe.store.swaps import SwapLog
from coe.telemetry.logs import get_logger
from coe.telemetry.metrics import SWAP_SECONDS, SWAP_THRASH, SWAPS
from workers.reports import SwapReport, WorkerReport

THRASH_S = 60.0
"""What comes in again so soon after it left should not have left."""
log = get_logger("coe.worker")


class ReportPublisher:
    """Of one life of one worker."""

    def __init__(self, directory: RedisDirectory, swaps: SwapLog) -> None:
        self._directory = directory
        self._swaps = swaps
        self._counted = 0
        self._logged = 0
        self._left_at: dict[str, float] = {}

    async def publish(self, report: WorkerReport) -> None:
        """Never raises for a Redis that is away; what it missed of the swaps goes with a later report."""
        try:
            await self._write(report)
        except STORE_ERRORS as error:
            log.warning("Redis is away; gateways ask this worker directly", error=repr(error))
        for swap in report.swaps:
            if swap.number > self._counted:
                self._counted = swap.number
                self._count(report.worker_id, swap)

    async def _write(self, report: WorkerReport) -> None:
        if not await self._directory.write(report):
            log.error("a later worker has this id; its reports stand", worker=report.worker_id)
            return
        new = [swap for swap in report.swaps if swap.number > self._logged]
        if new and await self._swaps.add(report.worker_id, report.epoch, new):
            self._logged = max(swap.number for swap in new)

    def _count(self, worker_id: str, swap: SwapReport) -> None:
        SWAPS.labels(worker_id, swap.model, swap.tier, "failed" if swap.error else "done").inc()
        if swap.error is None:
            SWAP_SECONDS.labels(swap.tier).observe(swap.seconds)
            left_at = self._left_at.pop(swap.model, None)
            if left_at is not None and swap.at - swap.seconds - left_at < THRASH_S:
                SWAP_THRASH.labels(worker_id, swap.model).inc()
        for model in swap.evicted:
            self._left_at[model] = swap.at
