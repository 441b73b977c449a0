"""What people read of workers' reports."""

import io
from dataclasses import replace

from rich.console import Console

from coe.cli.ps_table import HEAD, ps_table
from workers.reports import ExpertReport, SwapReport, WorkerReport

NOW = 1_700_000_000.0


def shown(*experts: ExpertReport, swaps: tuple[SwapReport, ...] = ()) -> tuple[list[dict[str, str]], str]:
    """The table's rows by column, and the line about the worker."""
    report = WorkerReport(worker_id="w-0", group="w", url="", pid=1, epoch=1, experts=experts, engines=(), swaps=swaps)
    out = io.StringIO()
    Console(file=out, width=220).print(ps_table([report], NOW))
    head, *rows, _, total = out.getvalue().splitlines()
    starts = [head.index(name) for name in HEAD]
    cells = [[row[a:b].strip() for a, b in zip(starts, [*starts[1:], None], strict=True)] for row in rows]
    return [dict(zip(HEAD, row, strict=True)) for row in cells], total


def expert(name: str = "poet", **fields: object) -> ExpertReport:
    usual = {"name": name, "model": "verse", "state": "ready", "tier": "device"}
    return ExpertReport(**(usual | fields))  # type: ignore[arg-type]  # as tests give them


def test_every_column_says_what_it_is_called() -> None:
    swap = SwapReport(number=7, at=NOW - 12, model="verse", tier="host", seconds=0.314)
    found = expert(size_bytes=270_000_000, running=3, waiting=2, room=1, wait_s=1.25, unload_in_s=299.0, pinned=True)
    ((row,), _) = shown(replace(found, tier="host"), swaps=(swap,))
    assert row == {
        "expert": "poet",
        "worker": "w-0",
        "model": "verse",
        "tier": "host",
        "state": "ready",
        "size": "270 MB",
        "running": "3",
        "queue": "2",
        "room": "1",
        "wait": "1.2 s",
        "unloads in": "5 min",
        "pinned": "yes",
        "last swap": "12 s ago, host, 0.31 s",
        "error": "",
    }


def test_the_last_swap_is_the_experts_own_or_its_models() -> None:
    swaps = (
        SwapReport(number=1, at=NOW - 7200, model="verse", tier="disk", seconds=2),
        SwapReport(number=2, at=NOW - 60, model="another", tier="host", seconds=1),
        SwapReport(number=3, at=NOW + 1, model="clerk", tier="disk", error="the disk is full"),
    )
    rows, _ = shown(expert("poet"), expert("clerk", model="prose"), expert("critic", model="none"), swaps=swaps)
    assert [row["last swap"] for row in rows] == ["2 h ago, disk, 2.00 s", "0 s ago, disk, failed", "-"]


def test_what_cannot_answer_has_no_wait_and_says_why() -> None:
    ((row,), _) = shown(expert(state="failed", error="[red]torn[/red]", wait_s=3))
    assert (row["state"], row["wait"], row["error"]) == ("failed", "-", "[red]torn[/red]")


def test_weights_that_experts_share_count_once() -> None:
    swaps = (SwapReport(number=41, at=NOW, model="verse", tier="disk", seconds=2),)
    _, total = shown(
        expert("poet", size_bytes=1_500_000_000, running=1),
        expert("bard", size_bytes=1_500_000_000, waiting=2),
        expert("clerk", model="prose", size_bytes=500_000_000),
        expert("critic", model="other", size_bytes=9_000_000_000, tier="host"),
        swaps=swaps,
    )
    assert total == "w-0: 4 experts, 3 on the device (2.0 GB), 1 running, 2 waiting, 41 swaps"
