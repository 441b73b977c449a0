"""Connections from a gateway to workers, which may be on other machines: an address in, a watched socket out."""

from __future__ import annotations

import socket

from aiohttp import AddrInfoType

IDLE_S = 5
PERIOD_S = 5
PROBES = 3
UNACKNOWLEDGED_MS = 20_000


def watched_socket(address: AddrInfoType) -> socket.socket:
    """A TCP socket whose connection fails about 20 s after the other machine has vanished.

    A machine that loses its power or its network closes nothing, and an answer may take minutes; so the kernel asks
    the other side whether it is still there (tcp(7): keepalive and TCP_USER_TIMEOUT).
    """
    family, kind, protocol, *_ = address
    watched = socket.socket(family, kind, protocol)
    watched.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, IDLE_S)
    watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, PERIOD_S)
    watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, PROBES)
    watched.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNACKNOWLEDGED_MS)
    return watched
