"""Ctrl-C and SIGTERM as an exception in the main thread, which unwinds whatever was started."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopRequestedError(Exception):
    """Ctrl-C or SIGTERM: raised in the main thread wherever it is, to unwind what was started."""


@contextlib.contextmanager
def stop_on_signals() -> Iterator[None]:
    """Ctrl-C and SIGTERM raise StopRequestedError inside this block."""
    previous = {number: signal.getsignal(number) for number in STOP_SIGNALS}
    catch_stop_signals()
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def catch_stop_signals() -> None:
    """Again, where a library has put its own handlers in their place."""
    for number in STOP_SIGNALS:
        signal.signal(number, _stop)


def _stop(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the shape of a signal handler
    raise StopRequestedError(signal.Signals(number).name)
