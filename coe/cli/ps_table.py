"""Reports of workers in, what `coe ps` shows people out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import RenderableType

    from workers.reports import ExpertReport, SwapReport, WorkerReport

HEAD = (
    "expert",
    "worker",
    "model",
    "tier",
    "state",
    "size",
    "running",
    "queue",
    "room",
    "wait",
    "unloads in",
    "pinned",
    "last swap",
    "error",
)
NOTHING = "-"


def ps_table(reports: Sequence[WorkerReport], now: float) -> RenderableType:
    """A row for each expert of each worker, and a line for each worker. `now` is in seconds since 1970."""
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table(*HEAD, box=None)
    for report in reports:
        for expert in report.experts:
            table.add_row(*(Text(cell) for cell in _row(report, expert, now)))
    return Group(table, Text(), *(Text(_totals(report)) for report in reports))


def _row(report: WorkerReport, expert: ExpertReport, now: float) -> tuple[str, ...]:
    return (
        expert.name,
        report.worker_id,
        expert.model,
        expert.tier,
        expert.state,
        _size(expert.size_bytes),
        str(expert.running),
        str(expert.waiting),
        str(expert.room),
        f"{expert.wait_s:.1f} s" if expert.state == "ready" else NOTHING,
        NOTHING if expert.unload_in_s is None else _span(expert.unload_in_s),
        "yes" if expert.pinned else NOTHING,
        _last_swap(report, expert, now),
        expert.error or "",
    )


def _last_swap(report: WorkerReport, expert: ExpertReport, now: float) -> str:
    """When the expert or the model below it last came in, from where, and how long that took."""
    own = [swap for swap in report.swaps if swap.model in {expert.name, expert.model}]
    return _swap(own[-1], now) if own else NOTHING


def _swap(swap: SwapReport, now: float) -> str:
    became = "failed" if swap.error else f"{swap.seconds:.2f} s"
    return f"{_span(max(0.0, now - swap.at))} ago, {swap.tier}, {became}"


def _totals(report: WorkerReport) -> str:
    on_device = sum(expert.tier == "device" for expert in report.experts)
    running = sum(expert.running for expert in report.experts)
    waiting = sum(expert.waiting for expert in report.experts)
    swaps = report.swaps[-1].number if report.swaps else 0
    return (
        f"{report.worker_id}: {len(report.experts)} experts, {on_device} on the device "
        f"({_size(report.device_bytes)}), {running} running, {waiting} waiting, {swaps} swaps"
    )


def _size(count: int) -> str:
    if not count:
        return NOTHING
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _span(seconds: float) -> str:
    for unit, length in (("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"
