"""An engine that does what a request tells it to: the last message's text is the script.

    anything        answers it in four words           die:N      sends N words and ends the process
    slow:N          N words, 50 ms apart               hang       never answers
    refuse          a 400 in vLLM's shape              core-died  an error event after two words, then [DONE]
    echo            answers the request it was sent
    who             answers the name of the folder whose weights it has

An adapter whose configuration has `scripted` is refused (`refuse`), loaded late (`slow`), or ends the process (`die`).
It also runs as a program, so that it can be killed: `scripted_engine.py --socket PATH [--fail-starts N --state FILE]`.
With `--weights FOLDER` its weights can be replaced; `POST /fault/NAME` lets the next replacement fail so.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import web


class ScriptedEngine:
    """The OpenAI server's side. `running` and `aborted` count requests, `seen` keeps their bodies and headers."""

    def __init__(self, served: str = "base") -> None:
        self.served = served
        self.running = 0
        self.aborted = 0
        self.seen: list[tuple[dict[str, Any], dict[str, str]]] = []
        self.healthy = True
        self.adapters: list[str] = []
        self.pinned: list[str] = []
        self.loads = 0
        self.weights: Any = None

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/health", self._health)
        app.router.add_get("/counts", self._counts)
        app.router.add_post("/v1/load_lora_adapter", self._load_adapter)
        app.router.add_post("/v1/unload_lora_adapter", self._unload_adapter)
        app.router.add_post("/v1/chat/completions", self._chat)
        if not self.weights:
            app.router.add_post("/collective_rpc", self._pin_adapters)
        else:
            self.weights.add_routes(app)
            app.router.add_post("/fault/{name}", self._fault)
        return app

    async def _fault(self, request: web.Request) -> web.Response:
        self.weights.fault = request.match_info["name"]
        return web.Response()

    @asynccontextmanager
    async def serve(self, socket: Path) -> AsyncIterator[None]:
        runner = web.AppRunner(self.app(), handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        await web.UnixSite(runner, str(socket)).start()
        try:
            yield
        finally:
            await runner.cleanup()

    async def _health(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.healthy else 503)

    async def _counts(self, _: web.Request) -> web.Response:
        counts = {"running": self.running, "aborted": self.aborted, "loads": self.loads, "adapters": self.adapters}
        return web.json_response(counts | {"pinned": self.pinned})

    async def _load_adapter(self, request: web.Request) -> web.Response:
        asked = await request.json()
        self.loads += 1
        config = json.loads((Path(asked["lora_path"]) / "adapter_config.json").read_text())
        match config.get("scripted"):
            case "refuse":
                return web.json_response({"error": {"message": "no such weights"}}, status=500)
            case "slow":
                await asyncio.sleep(0.5)
            case "die":
                os._exit(9)
        self.adapters.append(asked["lora_name"])
        return web.Response()

    async def _pin_adapters(self, request: web.Request) -> web.Response:
        asked = await request.json()
        assert asked["method"] == "coe_adapters_pin"
        [self.pinned] = asked["args"]
        return web.json_response({"results": [{"in_slots": []}]})

    async def _unload_adapter(self, request: web.Request) -> web.Response:
        name = (await request.json())["lora_name"]
        if name not in self.adapters:
            return web.json_response({"error": {"message": "cannot be found"}}, status=404)
        self.adapters.remove(name)
        return web.Response()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.seen.append((asked, {name.lower(): value for name, value in request.headers.items()}))
        self.running += 1
        try:
            return await self._answer(request, asked)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    async def _answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if asked["model"] not in {self.served, *self.adapters}:
            return web.json_response({"error": {"message": "no such model", "code": 404}}, status=404)
        name, _, argument = str(asked["messages"][-1]["content"]).partition(":")
        if name == "refuse":
            error = {"message": "that cannot be", "type": "BadRequestError", "param": "n", "code": 400}
            return web.json_response({"error": error}, status=400)
        if name == "hang":
            await asyncio.sleep(3600)
        words = [f"word{number} " for number in range(int(argument) if argument else 4)]
        if name == "echo":
            words = [json.dumps(asked)]
        if name == "who":
            words = ["nobody that it knows" if self.weights.mixed else self.weights.resident.name]
        if not asked.get("stream"):
            if name == "die":
                os._exit(9)
            if name == "slow":
                await asyncio.sleep(0.05 * len(words))
            message = {"role": "assistant", "content": "".join(words)}
            body = self._chunk(asked) | {"choices": [{"index": 0, "message": message}]}
            return web.Response(body=json.dumps(body, separators=(",", ":")).encode(), content_type="application/json")
        return await self._stream(request, asked, name, words)

    async def _stream(
        self, request: web.Request, asked: dict[str, Any], name: str, words: list[str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for word in words:
            chunk = self._chunk(asked) | {"choices": [{"index": 0, "delta": {"content": word}}]}
            await response.write(b"data: " + json.dumps(chunk, separators=(",", ":")).encode() + b"\n\n")
            await asyncio.sleep(0.05 if name == "slow" else 0)
            if name == "core-died" and word == "word1 ":
                error = {"message": "EngineCore encountered an issue", "type": "InternalServerError", "code": 500}
                await response.write(b"data: " + json.dumps({"error": error}).encode() + b"\n\n")
                break
        if name == "die":
            await asyncio.sleep(0.05)
            os._exit(9)
        await response.write(b"data: [DONE]\n\n")
        return response

    def _chunk(self, asked: dict[str, Any]) -> dict[str, Any]:
        return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": asked["model"]}


async def _serve_forever(socket: Path, weights: Path | None, served: str) -> None:
    engine = ScriptedEngine(served)
    if weights:
        from tests.workers.weights.scripted_weights import ScriptedWeights

        engine.weights = ScriptedWeights(weights)
    async with engine.serve(socket):
        await asyncio.Event().wait()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", type=Path, required=True)
    parser.add_argument("--fail-starts", type=int, default=0)
    parser.add_argument("--state", type=Path)
    parser.add_argument("--say", default="ValueError: scripted failure")
    parser.add_argument("--hang-at-start", action="store_true")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--served", default="base")
    parsed = parser.parse_args()
    if parsed.state:
        starts = int(parsed.state.read_text()) + 1 if parsed.state.exists() else 1
        parsed.state.write_text(str(starts))
        if starts <= parsed.fail_starts:
            sys.exit(parsed.say)
    sys.stdout.write("INFO scripted engine starts\n")
    if parsed.hang_at_start:
        asyncio.run(asyncio.sleep(3600))
    asyncio.run(_serve_forever(parsed.socket, parsed.weights, parsed.served))


if __name__ == "__main__":
    main()
