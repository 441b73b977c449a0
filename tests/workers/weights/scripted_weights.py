"""vLLM's control endpoints over weights that are only a folder's bytes: every checkpoint answers in its own way.

`fault` names what goes wrong at the next replacement, once:
    keeps old    it says that it replaced and does not        mixes      answers as no checkpoint does
    raises       a 500 from the worker's method               dies       the connection breaks, and all later ones
    hangs        never answers                                nan        answers with no numbers
    busy         the prefix cache cannot be reset             writes     the checkpoint is written to meanwhile
    host only    as `mixes`, where it comes from host memory  exits      the process ends
"""

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web


class ScriptedWeights:
    """`calls` are the endpoints asked for, a worker's method by its name."""

    def __init__(self, base: Path, workers: int = 1) -> None:
        self.resident = base
        self.workers = workers
        self.copies: dict[str, tuple[Path, int]] = {}
        self.fault: str | None = None
        self.dead = False
        self.mixed = False
        self.nan = False
        self.sleeping: str | None = None
        self.can_sleep = True
        self.wakes_in_part = False
        self.polls = 0
        self.keeps: list[str] = []
        self.refuse_fetch: str | None = None
        self.calls: list[str] = []
        self.unchanged: list[str] = []
        self.engine = "cpu scripted"

    @asynccontextmanager
    async def serve(self, socket: Path) -> AsyncIterator[None]:
        app = web.Application()
        self.add_routes(app)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        try:
            yield
        finally:
            await runner.cleanup()

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/collective_rpc", self._rpc)
        app.router.add_post("/v1/completions", self._complete)
        app.router.add_post("/reset_prefix_cache", self._reset)
        app.router.add_post("/reset_encoder_cache", self._reset_encoder)
        for path in ("pause", "resume", "sleep", "wake_up"):
            app.router.add_post(f"/{path}", getattr(self, f"_{path}"))
        app.router.add_get("/is_sleeping", self._is_sleeping)

    async def _rpc(self, request: web.Request) -> web.Response:
        asked = await request.json()
        method = asked["method"].removeprefix("coe_weights_")
        self._live(request, method)
        answer = await getattr(self, f"_{method}")(request, *asked["args"])
        if isinstance(answer, web.Response):
            return answer
        return web.json_response({"results": [answer] * self.workers})

    async def _held(self, _: web.Request) -> dict[str, object]:
        held = {name: size for name, (_, size) in self.copies.items()}
        return {"held": held, "engine": self.engine, "keeps": self.keeps}

    async def _fetch(self, _: web.Request, name: str, folder: str) -> dict[str, object]:
        self.polls = 2
        self.copies[name] = (Path(folder), sum(file.stat().st_size for file in weights_in(folder)))
        return {"begun": name}

    async def _fetched(self, _: web.Request, name: str) -> dict[str, object]:
        self.polls -= 1
        if self.polls >= 0:
            return {}
        if self.refuse_fetch:
            return {"refused": self.refuse_fetch}
        return {"bytes": self.copies[name][1]}

    async def _drop(self, _: web.Request, name: str) -> dict[str, object]:
        return {"bytes": self.copies.pop(name, (None, 0))[1]}

    async def _woken(self, _: web.Request) -> dict[str, object]:
        return {"given_back": True}

    async def _replace(self, request: web.Request, name: str, folder: str, source: str, unchanged: list[str]) -> Any:
        self.unchanged = unchanged
        fault, self.fault = self.fault, None
        self.mixed = fault == "mixes" or (fault == "host only" and source == "host")
        self.nan = fault == "nan"
        match fault:
            case "raises":
                return web.json_response({"error": {"message": "Call to replace failed"}}, status=500)
            case "dies":
                self.dead = True
                self._live(request, "")
            case "exits":
                os._exit(9)
            case "hangs":
                await asyncio.sleep(3600)
            case "keeps old":
                return {"tier": source, "seconds": 0.0}
            case "busy":
                self.fault = "busy"
            case "writes":
                for file in weights_in(folder):
                    file.write_bytes(file.read_bytes())
        self.resident = self.copies[name][0] if source == "host" else Path(folder)
        return {"tier": source, "seconds": 0.0}

    async def _complete(self, request: web.Request) -> web.Response:
        self._live(request, "complete")
        prompt = (await request.json())["prompt"]
        digest = hashlib.sha256(b"".join(file.read_bytes() for file in weights_in(self.resident)))
        if self.mixed:
            digest.update(b"mixed")
        values = [None if self.nan else -byte / 7 for byte in digest.digest()[1 : len(prompt)]]
        logprobs = [None, *({str(token): {"logprob": value}} for token, value in zip(prompt[1:], values, strict=True))]
        return web.json_response({"choices": [{"text": "x", "prompt_logprobs": logprobs}]})

    async def _reset(self, request: web.Request) -> web.Response:
        self._live(request, "reset")
        busy, self.fault = self.fault == "busy", None
        return web.json_response({"success": not busy})

    async def _reset_encoder(self, request: web.Request) -> web.Response:
        self._live(request, "reset encoder")
        return web.Response()

    async def _pause(self, request: web.Request) -> web.Response:
        self._live(request, f"pause {request.query['mode']}")
        return web.json_response({"status": "paused"})

    async def _resume(self, request: web.Request) -> web.Response:
        self._live(request, "resume")
        return web.json_response({"status": "resumed"})

    async def _sleep(self, request: web.Request) -> web.Response:
        self._live(request, f"sleep {request.query['level']} {request.query['mode']}")
        if not self.can_sleep:
            return web.json_response({"error": {"message": "Sleep mode is not enabled"}}, status=500)
        self.sleeping = request.query["level"]
        if self.sleeping == "2":
            self.mixed = True  # nothing is left of the weights
        return web.json_response({"status": "sleeping"})

    async def _wake_up(self, request: web.Request) -> web.Response:
        tags = request.query.getall("tags", [])
        self._live(request, " ".join(["wake", *tags]))
        if tags == ["weights"] or self.wakes_in_part:
            return web.json_response({"status": "sleeping", "tags": tags})
        self.sleeping = None
        return web.json_response({"status": "awake", "tags": tags})

    async def _is_sleeping(self, request: web.Request) -> web.Response:
        self._live(request, "is_sleeping")
        return web.json_response({"is_sleeping": self.sleeping is not None})

    async def asked_for(self, call: str) -> None:
        """Returns once `call` has come in."""
        while call not in self.calls:  # noqa: ASYNC110 - polled, so that the engine's side stays a plain list
            await asyncio.sleep(0.01)

    def _live(self, request: web.Request, call: str) -> None:
        if call:
            self.calls.append(call)
        if self.dead:
            assert request.transport is not None
            request.transport.abort()
            raise asyncio.CancelledError


def weights_in(folder: str | Path) -> list[Path]:
    return sorted(Path(folder).glob("*.safetensors"))


def records(cache_dir: Path) -> list[Path]:
    return sorted((cache_dir / "fingerprints").glob("*.json"))


def spoil(record: Path) -> None:
    """Let a record say that the checkpoint once answered a little otherwise."""
    document = json.loads(record.read_text())
    document["logprobs"][3] += 1e-6
    record.write_text(json.dumps(document))
