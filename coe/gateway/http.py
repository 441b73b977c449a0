"""Reading bodies and sending replies over plain ASGI: no buffering, and a disconnect that stops the work at once."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine

from starlette.types import Receive, Send

from coe.errors import InvalidRequestError, RequestError

JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"


class ClientDisconnectedError(Exception):
    """The client went away before the answer was complete; there is nobody to tell."""


async def read_body(receive: Receive, limit: int) -> bytes:
    """The whole body, at most `limit` bytes.

    Raises:
        InvalidRequestError: 413, as soon as the limit is passed.
        ClientDisconnectedError: the client left while sending.
    """
    pieces: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnectedError
        piece = message.get("body", b"")
        size += len(piece)
        if size > limit:
            raise InvalidRequestError(
                f"The body is larger than {limit / 1e6:g} MB, the limit of this service (`server.max_body_mb`).",
                code="request_too_large",
                status=413,
            )
        pieces.append(piece)
        if not message.get("more_body", False):
            return b"".join(pieces)


async def start_reply(send: Send, status: int, content_type: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send(
        {"type": "http.response.start", "status": status, "headers": [(b"content-type", content_type), *headers]}
    )


async def send_reply(
    send: Send, status: int, body: bytes, content_type: bytes = JSON, *headers: tuple[bytes, bytes]
) -> None:
    """A complete reply with its length."""
    await start_reply(send, status, content_type, (b"content-length", b"%d" % len(body)), *headers)
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, error: RequestError) -> None:
    """The error in OpenAI's form. `x-should-retry: false` keeps clients from repeating what cannot succeed."""
    headers = []
    if error.retry_after_s is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after_s))))
    elif error.http_status >= 500:
        headers.append((b"x-should-retry", b"false"))
    if error.http_status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    await send_reply(send, error.http_status, error.body.to_json(), JSON, *headers)


async def until_disconnect(work: Coroutine[None, None, None], receive: Receive) -> None:
    """Runs `work` while the client stays; cancels it when the client leaves.

    Raises:
        ClientDisconnectedError: the client left first.
    """
    task = asyncio.ensure_future(work)
    watcher = asyncio.ensure_future(_disconnect(receive))
    try:
        await asyncio.wait({task, watcher}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnectedError
    finally:
        watcher.cancel()
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
    await task


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
