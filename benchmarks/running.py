"""How every benchmark runs and ends: a measurement comes in, its report goes to standard output, an exit status out."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from benchmarks.programs import say
from coe.stop_signals import StopRequestedError, stop_on_signals

Report = TypeVar("Report")


def run(measure: Callable[[], Report], show: Callable[[Report], str], errors: tuple[type[Exception], ...]) -> int:
    """0 where all was measured, 1 where one of `errors` kept it from that, 130 where it was stopped."""
    try:
        with stop_on_signals():
            found = measure()
    except errors as error:
        say(f"error: {error}")
        return 1
    except StopRequestedError as stop:
        say(f"stopped by {stop}")
        return 130
    print(show(found))
    return 0
