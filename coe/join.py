"""This machine as a node of a cluster, for as long as wanted: it waits for the head, joins it, and joins it again.

In: where the head is and what this machine offers. Out: a node on which the head starts workers, with their log on
stderr. Everything of it is below one folder, which goes with it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from coe.errors import InputError, StartupError
from coe.ray_node import AUTH_REMEDY, Offer, RayNode, metrics_folder, use_token
from coe.runtime import NODE_LOG, NODE_VARIABLE
from coe.stop_signals import StopRequestedError
from coe.telemetry.follow import LogFollower
from coe.telemetry.metrics import MULTIPROC_VARIABLE

DEFAULT_PORT = 6379
LONGEST_WAIT_S = 15.0
LOST_S = 15
"""A head that does not answer for so long has lost this node; Ray's own default is a minute."""
_CONNECT_S = 3.0
_POLL_S = 0.5


@dataclass(frozen=True, slots=True)
class Head:
    """Where the head of a cluster listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Head:
        """`HOST` or `HOST:PORT`. Raises InputError."""
        host, colon, port = text.partition(":")
        if not host or (colon and not (port.isdecimal() and 0 < int(port) < 65536)):
            raise InputError(f"`{text}` is not the address of a head: give HOST or HOST:PORT, such as 10.0.0.5:6379")
        return cls(host, int(port) if colon else DEFAULT_PORT)

    def answers(self) -> bool:
        """Something listens there."""
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), timeout=_CONNECT_S):
            return True
        return False


def stay_joined(head: Head, offer: Offer, say: Callable[[str], None]) -> None:
    """Returns only by the exception of a signal; the node is down then and its folder gone."""
    with _node_folder() as folder:
        use_token()
        delays = _delays()
        while True:
            _wait_for(head, say)
            try:
                _live(head, offer, folder, say)
                delays = _delays()
            except StartupError as error:
                say(f"{error}\n{AUTH_REMEDY}")
            delay = next(delays)
            say(f"joining again in {delay:.0f} s")
            time.sleep(delay)


@contextlib.contextmanager
def _node_folder() -> Iterator[Path]:
    """The folder of this node, which all of its processes learn from the environment."""
    with contextlib.ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="coe-"))  # short, because socket paths are limited to 107 bytes
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        os.environ |= {
            NODE_VARIABLE: str(folder),
            "TMPDIR": str(folder),
            MULTIPROC_VARIABLE: str(metrics_folder(folder)),
        }
        os.environ.setdefault("RAY_gcs_rpc_server_reconnect_timeout_s", str(LOST_S))
        follower = LogFollower(folder / NODE_LOG, "auto", sys.stderr)
        follower.start()
        stack.callback(follower.close)
        yield folder


def _live(head: Head, offer: Offer, folder: Path, say: Callable[[str], None]) -> None:
    """One life of the node: returns when it has lost its head. Raises StartupError."""
    say(f"joining {head}")
    node = RayNode([f"--address={head}"], offer, folder)
    try:
        node.start()
        say(f"joined {head}; workers start here as its configuration says")
        while not node.ended:
            time.sleep(_POLL_S)
        say(f"lost {head}")
    except StopRequestedError:
        say("leaving; what runs here may end, for half a minute (press Ctrl-C again to cut it off)")
        raise
    finally:
        node.stop(at_once=not head.answers())  # without a head nobody waits for what runs here


def _wait_for(head: Head, say: Callable[[str], None]) -> None:
    delays, told = _delays(), False
    while not head.answers():
        if not told:
            say(f"no head answers at {head}; waiting for it")
            told = True
        time.sleep(next(delays))


def _delays() -> Iterator[float]:
    """Seconds between attempts: 1, 2, 4, 8, and then 15 for ever."""
    delay = 1.0
    while True:
        yield min(delay, LONGEST_WAIT_S)
        delay *= 2
