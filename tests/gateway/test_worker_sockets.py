"""Connections to workers on machines that may vanish."""

import socket

import aiohttp
from aiohttp import web

from coe.gateway.worker_sockets import IDLE_S, PERIOD_S, PROBES, UNACKNOWLEDGED_MS, watched_socket


def test_a_machine_that_vanished_is_given_up_within_half_a_minute() -> None:
    with watched_socket((socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", 1))) as watched:
        assert watched.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        options = (socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL, socket.TCP_KEEPCNT, socket.TCP_USER_TIMEOUT)
        set_to = [watched.getsockopt(socket.IPPROTO_TCP, option) for option in options]
    assert set_to == [IDLE_S, PERIOD_S, PROBES, UNACKNOWLEDGED_MS]
    assert IDLE_S + PERIOD_S * PROBES <= 30
    assert UNACKNOWLEDGED_MS <= 30_000


async def test_a_session_uses_it_as_any_other() -> None:
    async def hello(_: web.Request) -> web.Response:
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    connector = aiohttp.TCPConnector(socket_factory=watched_socket)
    async with aiohttp.ClientSession(connector=connector) as session, session.get(f"http://{host}:{port}") as response:
        assert await response.text() == "hello"
    await runner.cleanup()
