"""A lean HTTP load client in a process of its own: a `Job` as JSON on stdin in, a `Result` as JSON on stdout out.

One thread, one epoll, one request in flight per connection, the next sent as soon as the answer is complete. It reads
no more of an answer than where it ends and when its tokens came: a few tens of microseconds of CPU a request, so that
it can share two cores with what it measures. `Result.client_cpu` tells the share that it took.
"""

from __future__ import annotations

import select
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field

import orjson

_PATH = b"/v1/chat/completions"
_STALLED_S = 20.0
_RECEIVE = 1 << 16
_TOKEN_MARK = b'"content"'
_LAST_CHUNK = b"\r\n0\r\n\r\n"


class _IdleClosedError(Exception):
    """The target closed a connection that it had answered nothing on."""


class LoadError(Exception):
    """The load could not be applied: the target answered with an error, or not at all."""


@dataclass(frozen=True, slots=True)
class Job:
    """What to send for how long. `prompts` are taken in turn, over and over; `api_key` is the bearer token."""

    port: int
    model: str
    prompts: Sequence[str]
    connections: int
    seconds: float
    api_key: str
    stream: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """What came back; times in milliseconds.

    Attributes:
        requests: answers completed within the time.
        per_s: the same a second.
        p50_ms: from the request's first byte sent to the answer's last byte received.
        p99_ms: the same.
        first_token_p50_ms: until the first token; 0 where the job does not stream.
        token_gap_p50_ms: from the first to the last token, over the tokens after the first; 0 likewise.
        client_cpu: this process's CPU time over the time that passed.
        reopened: connections that the target closed before it answered; the request was sent again on a new one.
    """

    requests: int
    per_s: float
    p50_ms: float
    p99_ms: float
    first_token_p50_ms: float
    token_gap_p50_ms: float
    client_cpu: float
    reopened: int


@dataclass(slots=True)
class _Samples:
    """Seconds of each answer."""

    whole: list[float] = field(default_factory=list)
    first: list[float] = field(default_factory=list)
    gap: list[float] = field(default_factory=list)


class _Connection:
    """One keep-alive connection and the answer that is arriving on it."""

    def __init__(self, job: Job, samples: _Samples) -> None:
        self._samples = samples
        self._stream = job.stream
        self._port = job.port
        self.socket = self._open()
        self._request = b""
        self._received = bytearray()
        self._expected = 0
        self._began = self._first = self._latest = 0.0
        self._tokens = 0

    def _open(self) -> socket.socket:
        opened = socket.create_connection(("127.0.0.1", self._port), timeout=_STALLED_S)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return opened

    def reopen(self) -> None:
        """Sends the request again on a new connection; the time goes on from where it was sent first."""
        self.socket.close()
        self.socket = self._open()
        self.socket.sendall(self._request)

    def send(self, request: bytes) -> None:
        self._request = request
        self._received.clear()
        self._expected = self._tokens = 0
        self._began = time.perf_counter()
        with suppress(ConnectionError):  # closed while it was idle: `receive` finds out
            self.socket.sendall(request)

    def receive(self) -> bool:
        """Takes what has arrived; True where the answer is complete. Raises LoadError or _IdleClosedError."""
        try:
            piece = self.socket.recv(_RECEIVE)
        except ConnectionResetError:
            piece = b""
        now = time.perf_counter()
        if not piece and not self._received:
            raise _IdleClosedError
        if not piece:
            raise LoadError(f"the target closed a connection after {bytes(self._received)!r}")
        self._received += piece
        if self._stream:
            self._note_tokens(piece, now)
        if not self._is_complete():
            return False
        if not self._received.startswith(b"HTTP/1.1 200"):
            raise LoadError(f"the target answered {bytes(self._received[:2000]).decode(errors='replace')}")
        self._samples.whole.append(now - self._began)
        if self._stream:
            self._note_stream()
        return True

    def _note_tokens(self, piece: bytes, now: float) -> None:
        if tokens := piece.count(_TOKEN_MARK):
            if not self._tokens:
                self._first = now
            self._tokens += tokens
            self._latest = now

    def _note_stream(self) -> None:
        if self._tokens < 2:
            raise LoadError(f"a stream held {self._tokens} tokens: {bytes(self._received[:2000])!r}")
        self._samples.first.append(self._first - self._began)
        self._samples.gap.append((self._latest - self._first) / (self._tokens - 1))

    def _is_complete(self) -> bool:
        if not self._expected:
            end = self._received.find(b"\r\n\r\n")
            if end < 0:
                return False
            head = bytes(self._received[:end]).lower()
            _, found, length = head.partition(b"content-length:")
            self._expected = end + 4 + int(length.partition(b"\r\n")[0]) if found else -1
        if self._expected < 0:
            return self._received.endswith(_LAST_CHUNK)
        return len(self._received) >= self._expected


class _Client:
    """The connections of one job, and which of their requests are answered."""

    def __init__(self, job: Job) -> None:
        self._requests = [_request(job, prompt) for prompt in job.prompts]
        self._sent = 0
        self._poll = select.epoll()
        self._by_number: dict[int, _Connection] = {}
        self.samples = _Samples()
        self.reopened = 0
        for _ in range(job.connections):
            connection = _Connection(job, self.samples)
            self._watch(connection)
            self._send(connection)

    def step(self) -> None:
        """Waits until something arrives and takes it."""
        ready = self._poll.poll(_STALLED_S)
        if not ready:
            raise LoadError(f"the target answered nothing for {_STALLED_S:g} s")
        for number, _ in ready:
            connection = self._by_number[number]
            try:
                if connection.receive():
                    self._send(connection)
            except _IdleClosedError:
                del self._by_number[number]
                connection.reopen()
                self._watch(connection)
                self.reopened += 1

    def close(self) -> None:
        for connection in self._by_number.values():
            connection.socket.close()
        self._poll.close()

    def _send(self, connection: _Connection) -> None:
        connection.send(self._requests[self._sent % len(self._requests)])
        self._sent += 1

    def _watch(self, connection: _Connection) -> None:
        self._by_number[connection.socket.fileno()] = connection
        self._poll.register(connection.socket, select.EPOLLIN)


def apply_load(job: Job) -> Result:
    """Loads the target for `job.seconds`, in this process. Raises LoadError or OSError."""
    cpu, began = time.process_time(), time.perf_counter()
    client = _Client(job)
    end = began + job.seconds
    while time.perf_counter() < end:
        client.step()
    passed, spent = time.perf_counter() - began, time.process_time() - cpu
    client.close()
    return _result(client, passed, spent)


def run_load(job: Job) -> Result:
    """`apply_load` in a process of its own. Raises LoadError."""
    command = [sys.executable, "-m", "benchmarks.load"]
    limit_s = job.seconds + _STALLED_S + 10
    try:
        done = subprocess.run(command, input=orjson.dumps(job), capture_output=True, timeout=limit_s, check=False)
    except subprocess.TimeoutExpired as error:
        raise LoadError(f"the load client did not end within {limit_s:g} s") from error
    if done.returncode:
        raise LoadError(done.stderr.decode().strip() or f"the load client ended with status {done.returncode}")
    return Result(**orjson.loads(done.stdout))


def _request(job: Job, prompt: str) -> bytes:
    fields = {"model": job.model, "messages": [{"role": "user", "content": prompt}], "stream": job.stream}
    body = orjson.dumps(fields)
    head = b"POST %b HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n" % _PATH
    key = b"authorization: Bearer %b\r\n" % job.api_key.encode()
    return head + key + b"content-length: %d\r\n\r\n" % len(body) + body


def _result(client: _Client, passed_s: float, cpu_s: float) -> Result:
    samples = client.samples
    if len(samples.whole) < 2:
        raise LoadError("fewer than two answers came within the time: give it more with --seconds")
    times = sorted(samples.whole)
    return Result(
        requests=len(times),
        per_s=len(times) / passed_s,
        p50_ms=1000 * statistics.median(times),
        p99_ms=1000 * times[int(0.99 * len(times))],
        first_token_p50_ms=1000 * statistics.median(samples.first or [0.0]),
        token_gap_p50_ms=1000 * statistics.median(samples.gap or [0.0]),
        client_cpu=cpu_s / passed_s,
        reopened=client.reopened,
    )


def _main() -> int:
    try:
        result = apply_load(Job(**orjson.loads(sys.stdin.buffer.read())))
    except (LoadError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.buffer.write(orjson.dumps(asdict(result)))
    return 0


if __name__ == "__main__":
    sys.exit(_main())
