"""The load client against the stub: what the gateway's figures are made of."""

import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import stub_upstream
from benchmarks.load import Job, LoadError, Result, run_load
from benchmarks.programs import Program, ProgramError, free_port, running


@pytest.fixture
def stub(tmp_path: Path) -> Iterator[int]:
    """The port of a stub."""
    port = free_port()
    command = stub_upstream.command(port)
    with running(Program(name="stub", command=command, ready_url=f"http://127.0.0.1:{port}/health"), tmp_path):
        yield port


def load(port: int, *, connections: int = 1, stream: bool = False) -> Result:
    return run_load(Job(port, stub_upstream.MODEL, ["one", "two"], connections, 0.4, "key", stream))


def test_many_connections_are_all_answered(stub: int) -> None:
    found = load(stub, connections=8)
    assert found.requests > 100
    assert 0 < found.p50_ms <= found.p99_ms
    assert found.reopened == 0


def test_a_stream_has_a_first_token_at_once_and_then_one_every_two_milliseconds(stub: int) -> None:
    found = load(stub, stream=True)
    assert found.first_token_p50_ms < found.p50_ms / 4
    assert found.token_gap_p50_ms == pytest.approx(1000 * stub_upstream.TOKEN_PERIOD_S, rel=0.5)


def test_a_connection_closed_while_it_was_idle_is_opened_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_serve_once_per_connection, args=(server,), daemon=True).start()
        found = load(server.getsockname()[1])
    assert found.requests > 1
    assert found.reopened >= found.requests - 1


def test_an_error_of_the_target_is_told_with_its_text() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        reply = b"HTTP/1.1 503 Busy\r\ncontent-length: 9\r\n\r\ntoo early"
        threading.Thread(target=_serve_once_per_connection, args=(server, reply), daemon=True).start()
        with pytest.raises(LoadError, match="too early"):
            load(server.getsockname()[1])


def test_a_program_that_ends_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    program = Program(name="p", command=["sh", "-c", "echo no luck; exit 3"], ready_url="http://127.0.0.1:9/")
    with pytest.raises(ProgramError, match=r"status 3:\nno luck"), running(program, tmp_path):
        pass


def _serve_once_per_connection(
    server: socket.socket, reply: bytes = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
) -> None:
    try:
        while True:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(reply)
    except OSError:  # the test is over
        return
