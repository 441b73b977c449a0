"""Programs that a benchmark measures: a command goes in, a server that answers comes out, and is gone at the end.

Each runs under the workers' reaper, so that nothing of it is left whatever becomes of the benchmark.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from workers.processes.reaper import reaped

_POLL_S = 0.2
_SHOWN_CHARS = 3000


class ProgramError(Exception):
    """A program did not start; the message has the end of its log."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """A server to start.

    Attributes:
        name: for people, and for the log's file name.
        command: its command line.
        ready_url: answers 200 once the server serves.
        variables: environment on top of this process's.
        start_s: how long it may take until it serves.
        stop_s: how long it may take to end after SIGTERM before it is killed.
    """

    name: str
    command: Sequence[str]
    ready_url: str
    variables: Mapping[str, str] = field(default_factory=dict)
    start_s: float = 180.0
    stop_s: float = 10.0


@contextmanager
def running(program: Program, folder: Path) -> Iterator[None]:
    """Enters when the program serves, leaves when it has ended. Its output goes to a file in `folder`.

    Raises:
        ProgramError: it ended or did not serve in time.
    """
    log = folder / f"{program.name}.log"
    say(f"starting {program.name}")
    with log.open("wb") as output:
        process = subprocess.Popen(
            reaped(program.command, grace_s=program.stop_s),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **program.variables},
        )
    try:
        _wait_until_ready(program, process, log)
        yield
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def say(message: str) -> None:
    """Progress, for the person who waits."""
    print(message, file=sys.stderr, flush=True)


def _wait_until_ready(program: Program, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + program.start_s
    while not _answers(program.ready_url):
        if process.poll() is not None:
            raise ProgramError(f"{program.name} ended with status {process.returncode}:\n{_end_of(log)}")
        if time.monotonic() > deadline:
            raise ProgramError(f"{program.name} does not serve after {program.start_s:g} s:\n{_end_of(log)}")
        time.sleep(_POLL_S)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5.0).status_code == 200
    except httpx.HTTPError:
        return False


def _end_of(log: Path) -> str:
    return log.read_text(errors="replace")[-_SHOWN_CHARS:]
