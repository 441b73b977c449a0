"""An OpenAI server that costs next to nothing: requests in, always the same answer out, at once.

A request with `"stream": true` gets a first token at once and then `STREAM_TOKENS - 1` more, `TOKEN_PERIOD_S` apart.
Everything is rendered beforehand, so that what stands in front of it is measured and not this. Started with a port:
`python -m benchmarks.stub_upstream PORT`.
"""

from __future__ import annotations

import asyncio
import sys
from contextlib import suppress

import orjson

MODEL = "stub"
STREAM_TOKENS = 64
TOKEN_PERIOD_S = 0.002
_PROMPT_TOKENS = 32
_ANSWER = "A fixed answer of about one sentence, so that replies have the size of a short real one."
_STREAMED = (b'"stream":true', b'"stream": true')


def _reply(body: bytes, status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % (status, len(body))
    return head + body


def _usage(completion_tokens: int) -> dict[str, int]:
    total = _PROMPT_TOKENS + completion_tokens
    return {"prompt_tokens": _PROMPT_TOKENS, "completion_tokens": completion_tokens, "total_tokens": total}


def _completion() -> bytes:
    message = {"role": "assistant", "content": _ANSWER}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    head = {"id": "chatcmpl-stub", "object": "chat.completion", "created": 1, "model": MODEL}
    return _reply(orjson.dumps(head | {"choices": [choice], "usage": _usage(18)}))


def _event(choices: list[dict[str, object]], **more: object) -> bytes:
    head = {"id": "chatcmpl-stub", "object": "chat.completion.chunk", "created": 1, "model": MODEL}
    return _chunk(b"data: " + orjson.dumps(head | {"choices": choices} | more) + b"\n\n")


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


_COMPLETION = _completion()
_MODELS = _reply(orjson.dumps({"object": "list", "data": [{"id": MODEL, "object": "model", "owned_by": "stub"}]}))
_HEALTH = _reply(b"{}")
_STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
_FIRST = _event([{"index": 0, "delta": {"role": "assistant", "content": "One"}, "finish_reason": None}])
_TOKEN = _event([{"index": 0, "delta": {"content": " more"}, "finish_reason": None}])
_LAST = (
    _event([{"index": 0, "delta": {}, "finish_reason": "stop"}])
    + _event([], usage=_usage(STREAM_TOKENS))
    + _chunk(b"data: [DONE]\n\n")
    + b"0\r\n\r\n"
)


class StubConnection(asyncio.Protocol):
    """One connection: HTTP/1.1 with keep-alive and `content-length`, one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = b""
        self._next_token: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  the protocol's signature
        self._transport = None
        if self._next_token:
            self._next_token.cancel()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, found, body = self._received.partition(b"\r\n\r\n")
        if not found or len(body) < _content_length(head):
            return
        self._received = b""
        self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        if head.startswith(b"POST"):
            if any(mark in body for mark in _STREAMED):
                self._write(_STREAM_HEAD + _FIRST)
                self._await_token(1, asyncio.get_running_loop().time() + TOKEN_PERIOD_S)
            else:
                self._write(_COMPLETION)
        else:
            self._write(_MODELS if b"/v1/models" in head else _HEALTH)

    def _await_token(self, number: int, due: float) -> None:
        """Times are absolute, so that a late token does not delay those after it."""
        self._next_token = asyncio.get_running_loop().call_at(due, self._send_token, number, due)

    def _send_token(self, number: int, due: float) -> None:
        last = number == STREAM_TOKENS - 1
        self._write(_TOKEN + _LAST if last else _TOKEN)
        if not last:
            self._await_token(number + 1, due + TOKEN_PERIOD_S)

    def _write(self, data: bytes) -> None:
        if self._transport:
            self._transport.write(data)


def _content_length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def command(port: int) -> list[str]:
    """The command line that serves on `port`."""
    return [sys.executable, "-m", "benchmarks.stub_upstream", str(port)]


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(StubConnection, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(int(sys.argv[1])))
