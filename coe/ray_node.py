"""This machine as a node of a Ray cluster, head or not: `ray start` as a process that can be waited for and ended.

In: its part in the cluster and what it offers. Out: a running node, or an error with what Ray said. A reaper stands
above it, so that nothing of Ray, of the workers on it and of their engines is left when it ends.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from coe.errors import StartupError
from coe.ray_settings import RAY_SETTINGS
from coe.stop_signals import StopRequestedError
from workers.processes.reaper import reaped

TOKEN_FILE = Path("~/.ray/auth_token")
AUTH_REMEDY = (
    "Where the head has a token, this machine needs the same: copy ~/.ray/auth_token, or set RAY_AUTH_TOKEN, and "
    "RAY_AUTH_MODE=token."
)
START_TIMEOUT_S = 120.0
GRACE_S = 40.0
"""More than the half minute in which Ray lets what runs on a node end."""
_STARTED = b"Ray runtime started"
_POLL_S = 0.2
_LAST_LINES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What a node brings into the cluster; what is None Ray finds out itself. `host`: its address for the others."""

    labels: Mapping[str, str] = field(default_factory=dict)
    cpus: int | None = None
    gpus: int | None = None
    host: str | None = None

    def arguments(self) -> list[str]:
        """For `ray start`."""
        labels = ",".join(f"{key}={value}" for key, value in self.labels.items())
        named = {
            "--labels": labels or None,
            "--num-cpus": self.cpus,
            "--num-gpus": self.gpus,
            "--node-ip-address": self.host,
        }
        return [f"{option}={value}" for option, value in named.items() if value is not None]


def has_token() -> bool:
    """A token for Ray is set or lies in its usual place."""
    return any(os.environ.get(name) for name in ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")) or _token_file_exists()


def use_token() -> None:
    """Has Ray use the token where there is one, unless RAY_AUTH_MODE says otherwise; not every part of it does."""
    if has_token():
        os.environ.setdefault("RAY_AUTH_MODE", "token")


def _token_file_exists() -> bool:
    return TOKEN_FILE.expanduser().is_file()


def metrics_folder(folder: Path) -> Path:
    """Where the processes of a node count, made before Ray is started, because Ray's own processes count there too."""
    metrics = folder / "metrics"
    metrics.mkdir()
    return metrics


def head_arguments(port: int) -> list[str]:
    """A head that other nodes may join at `port`, without a dashboard."""
    # A client port cannot be left out; it is a free one, so that several heads fit on one machine.
    client_port = f"--ray-client-server-port={free_port()}"
    return ["--head", f"--port={port}", "--include-dashboard=false", client_port]


def free_port() -> int:
    """A TCP port that nobody on this machine listens on now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


class RayNode:
    """One life of a node. Start it from the main thread, which outlives it: see `workers.processes.reaper`.

    Args:
        part: `head_arguments`, or `--address=HEAD:PORT` to join.
        offer: what it brings.
        folder: its own; Ray's sessions, sockets and logs are below it.
    """

    def __init__(self, part: Sequence[str], offer: Offer, folder: Path) -> None:
        self._said = folder / "ray-start.log"
        start = [sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"]
        # Ray's own range for workers would keep other ports in it from being used, here and by a second node.
        ports = ["--min-worker-port=0", "--max-worker-port=0"]
        self._command = [*start, f"--temp-dir={folder / 'ray'}", *ports, *part, *offer.arguments()]
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Returns once the node is part of the cluster. Raises StartupError, with the last lines of what Ray said."""
        with self._said.open("wb") as said:
            self._process = subprocess.Popen(
                reaped(self._command, grace_s=GRACE_S),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=subprocess.STDOUT,
                env={**os.environ, **RAY_SETTINGS},
                start_new_session=True,  # a terminal's Ctrl-C is for the command, which then ends this in order
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while _STARTED not in self._said.read_bytes():
            if self.ended:
                raise StartupError(f"Ray did not start:\n{self.last_words()}")
            if time.monotonic() > deadline:
                self.stop()
                raise StartupError(f"Ray was not up after {START_TIMEOUT_S:.0f} s:\n{self.last_words()}")
            time.sleep(_POLL_S)

    @property
    def ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def last_words(self) -> str:
        """The last lines that Ray printed."""
        lines = [line for line in self._said.read_text(errors="replace").splitlines() if line.strip()]
        return "\n".join(lines[-_LAST_LINES:])

    def stop(self, *, at_once: bool = False) -> None:
        """Ends the node with everything on it: in order, unless `at_once` or a person asks a second time."""
        if self._process is None or self.ended:
            return
        self._process.terminate()
        try:
            self._process.wait(0 if at_once else GRACE_S + 10)
        except (StopRequestedError, subprocess.TimeoutExpired):
            for process in psutil.Process(self._process.pid).children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            self._process.wait()  # its reaper has seen them all end
