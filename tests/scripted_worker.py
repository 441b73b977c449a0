"""A worker's data port that does what a test tells it, and the bytes that it answers with."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

from aiohttp import web

Play = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]
StartWorker = Callable[[], Awaitable["ScriptedWorker"]]
SOON_S = 5.0


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it reached a worker."""

    body: dict[str, Any]
    headers: dict[str, str]


class ScriptedWorker:
    """A worker's data port that does what the test tells it; by default it answers in two words.

    `asked` keeps what arrived, `announced` what it was told to expect; `running` counts requests under way, `aborted`
    those whose client went away.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.announced: list[tuple[str, float]] = []
        self.running = 0
        self.aborted = 0
        self.swap_ms = 0.0
        self.tier: str | None = None
        self._play: Play = self._answer
        self._released = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[ScriptedWorker]:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._chat)
        app.router.add_post("/expected", self._expected)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def refuses(self, status: int, code: str | None = "refused", *, retry_after: int | None = None) -> None:
        """Answers with an error in OpenAI's shape."""
        error = {"message": f"scripted {status}", "type": "scripted_error", "param": "n", "code": code}
        headers = {"retry-after": str(retry_after)} if retry_after else {}

        async def play(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
            return web.json_response({"error": error}, status=status, headers=headers)

        self._play = play

    def sends(self, body: bytes, status: int = 200, content_type: str = "application/json") -> None:
        """Answers with these bytes at once."""

        async def play(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
            return web.Response(body=body, status=status, content_type=content_type)

        self._play = play

    def streams(self, *pieces: bytes) -> None:
        """Streams these bytes, piece by piece, to a proper end."""

        async def play(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
            return await _stream(request, pieces)

        self._play = play

    def says(self, answers: Mapping[str, str], pause_s: float) -> None:
        """Streams the answer of each model word by word, with a pause before each."""

        async def play(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
            model = asked["model"]
            words = answers[model].split(" ")
            headers = {"x-coe-swap-ms": f"{self.swap_ms:.1f}"}
            response = await _begin(request, (), headers=headers)
            for place, word in enumerate(words):
                await asyncio.sleep(pause_s)
                await response.write(chunk(model, word if place == 0 else f" {word}"))
            counts = {"prompt_tokens": 41, "completion_tokens": len(words), "total_tokens": 41 + len(words)}
            await response.write(b"data: " + compact({"id": "c", "model": model, "choices": [], "usage": counts}))
            await response.write(b"\n\n" + DONE)
            return response

        self._play = play

    def stalls(self, *pieces: bytes) -> None:
        """Streams these bytes, possibly none and no headers, then waits for `release` and answers as usual."""

        async def play(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
            if not pieces:
                await self._released.wait()
                return await self._answer(request, asked)
            response = await _begin(request, pieces)
            await self._released.wait()
            for frame in self.frames(asked):
                await response.write(frame)
            return response

        self._play = play

    def dies(self, *pieces: bytes, sending: str = "text/event-stream") -> None:
        """Streams these bytes, then its connection breaks; without any it breaks before an answer began."""

        async def play(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
            if pieces:
                await _begin(request, pieces, sending)
            return await _break(request)

        self._play = play

    def release(self) -> None:
        """Lets stalled requests go on."""
        self._released.set()

    def frames(self, asked: dict[str, Any]) -> list[bytes]:
        """The frames of the usual answer to a streamed request."""
        model = asked["model"]
        frames = [chunk(model, word) for word in ("Hello ", "there.")]
        if asked.get("stream_options", {}).get("include_usage"):
            frames.append(usage_chunk(model))
        return [*frames, DONE]

    async def _expected(self, request: web.Request) -> web.Response:
        told = await request.json()
        self.announced.append((told["model"], told["probability"]))
        return web.Response(status=204)

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append(Asked(asked, {name.lower(): value for name, value in request.headers.items()}))
        self.running += 1
        try:
            return await self._play(request, asked)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    async def _answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        headers = {"x-coe-swap-ms": f"{self.swap_ms:.1f}", **({"x-coe-tier": self.tier} if self.tier else {})}
        if not asked.get("stream"):
            return web.Response(body=completion(asked["model"]), content_type="application/json", headers=headers)
        return await _stream(request, self.frames(asked), headers)


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def chunk(model: str, text: str) -> bytes:
    """One frame of a streamed answer, as vLLM writes it."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + compact({"id": "c", "model": model, "choices": [choice]}) + b"\n\n"


def usage_chunk(model: str) -> bytes:
    return b"data: " + compact({"id": "c", "model": model, "choices": [], "usage": USAGE}) + b"\n\n"


def completion(model: str, text: str = "Hello there.") -> bytes:
    message = {"role": "assistant", "content": text}
    return compact({"id": "c", "model": model, "choices": [{"index": 0, "message": message}], "usage": USAGE})


async def _begin(
    request: web.Request,
    pieces: Sequence[bytes],
    content_type: str = "text/event-stream",
    headers: dict[str, str] | None = None,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": content_type, **(headers or {})})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(0)
    return response


async def _stream(
    request: web.Request, pieces: Sequence[bytes], headers: dict[str, str] | None = None
) -> web.StreamResponse:
    response = await _begin(request, pieces, headers=headers)
    await response.write_eof()
    return response


async def _break(request: web.Request) -> NoReturn:
    await asyncio.sleep(0.05)  # what was written arrives first
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


async def until(condition: Callable[[], bool]) -> None:
    """Waits until something is true; fails where it is not soon."""
    async with asyncio.timeout(SOON_S):
        while not condition():  # noqa: ASYNC110  what tests wait for tells nobody
            await asyncio.sleep(0.005)
