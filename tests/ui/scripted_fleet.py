"""Workers as they might be in the middle of a day, for pictures: made up, and told so where they are shown."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from workers.reports import ExpertReport, SwapReport, Tier, WorkerReport

ANSWERS: Mapping[str, str] = {
    "arithmetician": "3 boxes hold 3 * 12 = 36 eggs.\nTom eats 5, so 36 - 5 = 31 are left.",
    "sql-writer": "SELECT name FROM employees WHERE salary > 4000;",
    "python-writer": "def longest(words):\n    return max(words, key=len)",
    "extractor": '{"name": "Ada", "city": "Oslo"}',
    "generalist": "A tide is the slow rise and fall of the sea, twice in a day, drawn by the moon and the sun.",
}
DEMAND: Mapping[str, int] = {
    "generalist": 41,
    "sql-writer": 22,
    "python-writer": 18,
    "arithmetician": 9,
    "extractor": 2,
}
EARLIER: Sequence[str] = (
    "Why does the sea rise and fall?",
    "Write a Python function that returns the longest word of a list",
    "orders(id, customer, total): which customers spent more than 100?",
    "Extract name and city as JSON: Ada lives in Oslo and works in a mill.",
    "A pen costs 3 and a book costs 11. What do 4 pens and 2 books cost?",
    "What is the derivative of x^3 sin x?",
    "Turn off the lights in the kitchen",
    "Write a Python function that counts the vowels of a string",
)
GB = 1_000_000_000


def _swaps(*events: tuple[int, float, str, Tier, Sequence[str], float]) -> Callable[[float], list[SwapReport]]:
    def at(now: float) -> list[SwapReport]:
        return [
            SwapReport(
                number=number,
                at=now - before,
                model=model,
                tier=tier,
                evicted=tuple(evicted),
                seconds=seconds,
            )
            for number, before, model, tier, evicted, seconds in events
        ]

    return at


SWAPS: Mapping[str, Callable[[float], list[SwapReport]]] = {
    "gpu-0": _swaps(
        (29, 2640, "extractor", "disk", ("arithmetician",), 3.12),
        (30, 1510, "arithmetician", "host", ("extractor",), 0.41),
        (31, 42, "sql-writer", "host", ("arithmetician",), 0.38),
    ),
    "gpu-1": _swaps(
        (11, 3300, "python-writer", "disk", (), 2.87),
        (12, 700, "arithmetician", "host", ("extractor",), 0.44),
    ),
}


def make_reports(url: str) -> Sequence[WorkerReport]:
    """Two workers whose experts are spread over the tiers, all behind `url`."""
    now = time.time()

    def held(
        name: str,
        tier: Tier,
        size_gb: float,
        *,
        running: int = 0,
        waiting: int = 0,
        room: int = 0,
        wait_s: float = 0.0,
        swap_s: float = 0.0,
        pinned: bool = False,
        unload_in_s: float | None = None,
    ) -> ExpertReport:
        return ExpertReport(
            name=name,
            model=name,
            state="ready",
            tier=tier,
            size_bytes=int(size_gb * GB),
            running=running,
            waiting=waiting,
            room=room,
            wait_s=wait_s,
            swap_s=swap_s,
            pinned=pinned,
            unload_in_s=unload_in_s,
        )

    first = (
        held("generalist", "device", 15.2, running=3, room=13, pinned=True),
        held("sql-writer", "device", 15.2, running=1, room=15, swap_s=0.38, unload_in_s=258),
        held("arithmetician", "host", 3.1, wait_s=0.41, swap_s=0.41),
        held("extractor", "disk", 3.1, wait_s=3.1, swap_s=3.1),
    )
    second = (
        held("python-writer", "device", 15.2, running=16, waiting=2, wait_s=1.7, swap_s=0.6),
        held("arithmetician", "device", 3.1, room=16, swap_s=0.44, unload_in_s=96),
        held("extractor", "host", 3.1, wait_s=0.4, swap_s=0.4),
    )
    return [
        WorkerReport(
            worker_id=worker,
            group="gpu",
            url=url,
            pid=1,
            epoch=1,
            experts=experts,
            engines=(),
            swaps=tuple(SWAPS[worker](now)),
            at=now,
        )
        for worker, experts in (("gpu-0", first), ("gpu-1", second))
    ]
