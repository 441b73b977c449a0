"""Run one program to its end while staying able to stop it: a command goes in, its standard output comes out."""

import subprocess
import time
from collections.abc import Callable, Sequence
from threading import Event

from workers.errors import SourceCancelledError, WorkerError
from workers.processes.reaper import reaped

_POLL_S = 0.2
_FIRST_NOTICE_S = 2.0
_NOTICE_PERIOD_S = 15.0
_STOP_S = 10.0


class ChildFailedError(WorkerError):
    """The program ended with a status other than 0; the message is the last line that it wrote to stderr."""


def run_child(command: Sequence[str], what: str, progress: Callable[[str], None], cancelled: Event) -> str:
    """Run `command` and return what it wrote to stdout.

    `progress` hears `what` once it takes longer than two seconds, and the seconds passed every fifteen. The program
    and its descendants are ended when `cancelled` is set and when this process dies.
    """
    started = time.monotonic()
    notice_at = started + _FIRST_NOTICE_S
    with subprocess.Popen(
        reaped(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8", errors="replace"
    ) as process:
        try:
            while True:
                try:
                    output, errors = process.communicate(timeout=_POLL_S)
                    break
                except subprocess.TimeoutExpired:
                    if cancelled.is_set():
                        raise SourceCancelledError(f"{what}: stopped before it was done") from None
                if (now := time.monotonic()) >= notice_at:
                    notice_at = now + _NOTICE_PERIOD_S
                    progress(f"{what} ({now - started:.0f} s)")
        finally:
            _stop(process)
    if process.returncode:
        lines = [line for line in errors.splitlines() if line.strip()]
        raise ChildFailedError(lines[-1] if lines else f"ended with status {process.returncode} and said nothing")
    return output


def _stop(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.communicate(timeout=_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
