"""A second machine for the tests: a `coe join` of its own on another loopback address, and clients that count."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psutil

from coe.store.embedded import find_redis_server
from tests.service.running import free_port

HEAD_HOST, OTHER_HOST = "127.0.0.2", "127.0.0.3"
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "c0ffee" * 10}
WORDS = 20
REQUEST_TIMEOUT_S = 60.0


@contextmanager
def tcp_redis(folder: Path) -> Iterator[str]:
    """A Redis that other machines could reach, unlike the embedded one."""
    port = free_port()
    command = [str(find_redis_server()), "--port", str(port), "--save", "", "--dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        yield f"redis://127.0.0.1:{port}/0"
        server.terminate()


@dataclass(frozen=True)
class JoinedNode:
    """One `coe join` in a process of its own, with its stderr in a file."""

    process: subprocess.Popen[bytes]
    log: Path

    def descendants(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def lose(self) -> None:
        """As when the machine loses its power: no process of it can do anything any more."""
        family = [psutil.Process(self.process.pid), *self.descendants()]
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.process.wait()


@contextmanager
def joined_node(folder: Path, port: int, label: str, **environment: str) -> Iterator[JoinedNode]:
    """`coe join` from the start of the block to its end."""
    log = folder / f"join-{free_port()}.log"
    options = ["--label", label, "--host", OTHER_HOST, "--cpus", "1", "--gpus", "0"]
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "coe.cli.main", "join", f"{HEAD_HOST}:{port}", *options],
            stderr=stderr,
            cwd=folder,
            start_new_session=True,
            env=inherited | TOKEN | environment,
        )
    node = JoinedNode(process, log)
    try:
        yield node
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                node.lose()


@dataclass
class Clients:
    """Asks without end from several threads, streams and whole answers by turns, and counts what came of it.

    An answer is `right` where all of it came, and a refusal counts by its code; whatever else came is `strange`.
    """

    url: str
    outcomes: Counter[str] = field(default_factory=Counter)
    strange: list[str] = field(default_factory=list)

    @contextmanager
    def asking(self, threads: int) -> Iterator[None]:
        """Leaves when every request that was begun has ended."""
        stopped = threading.Event()
        asking = [threading.Thread(target=self._ask_on, args=(stopped,)) for _ in range(threads)]
        for thread in asking:
            thread.start()
        try:
            yield
        finally:
            stopped.set()
            for thread in asking:
                thread.join()

    def _ask_on(self, stopped: threading.Event) -> None:
        with httpx.Client(base_url=self.url, timeout=REQUEST_TIMEOUT_S) as client:
            while not stopped.is_set():
                self._count(lambda: _stream(client))
                self._count(lambda: _whole(client))

    def _count(self, ask: Callable[[], str]) -> None:
        try:
            self.outcomes[ask()] += 1
        except (httpx.HTTPError, ValueError, KeyError, AssertionError) as error:
            self.strange.append(repr(error))


def _stream(client: httpx.Client) -> str:
    body = {"model": "steady", "stream": True, "max_tokens": WORDS, "messages": [{"role": "user", "content": "Count."}]}
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        if response.status_code != 200:
            return _code(response.read())
        lines = [line.removeprefix("data: ") for line in response.iter_lines() if line.startswith("data: ")]
    if lines[-1] != "[DONE]":
        return _code(lines[-1])
    assert sum("word" in line for line in lines) == WORDS
    return "right"


def _whole(client: httpx.Client) -> str:
    body = {"model": "steady", "messages": [{"role": "user", "content": "Are you there?"}]}
    response = client.post("/v1/chat/completions", json=body)
    if response.status_code != 200:
        return _code(response.content)
    assert response.json()["choices"][0]["message"]["content"] == "yes"
    return "right"


def _code(body: bytes | str) -> str:
    """Of an OpenAI error; a KeyError where it is none."""
    return str(json.loads(body)["error"]["code"])
