"""A service that speaks as `coe` does and answers what a test tells it, on a port."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True, slots=True)
class Script:
    """How one expert behaves: `answers` by question, and `logprobs` of a completion's tokens by question."""

    answers: Mapping[str, str]
    logprobs: Mapping[str, float]


@dataclass(slots=True)
class ScriptedService:
    """Tokens are words; a prompt has one more, for the assistant's turn.

    `refusals` are statuses to answer with first. Keeps what it was `asked` and how many were under way at most.
    """

    experts: Mapping[str, Script]
    refusals: list[int] = field(default_factory=list)
    gives_likelihoods: bool = True
    delay_s: float = 0.0
    asked: list[dict[str, Any]] = field(default_factory=list)
    running: int = 0
    most_running: int = 0
    url: str = ""

    async def models(self, _: web.Request) -> web.Response:
        names = ["coe", "coe/moa", *self.experts]
        return web.json_response({"object": "list", "data": [{"id": name, "object": "model"} for name in names]})

    async def chat(self, request: web.Request) -> web.Response:
        body = await request.json()
        self.asked.append(body)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            await asyncio.sleep(self.delay_s)
        finally:
            self.running -= 1
        if self.refusals:
            error = {"message": "scripted", "type": "server_error", "param": None, "code": None}
            return web.json_response({"error": error}, status=self.refusals.pop(0), headers={"retry-after": "0"})
        return web.json_response(self._reply(body))

    def _reply(self, body: dict[str, Any]) -> dict[str, Any]:
        script = self.experts[body["model"]]
        users = [message for message in body["messages"] if message["role"] == "user"]
        question = users[-1]["content"]
        before = sum(len(message["content"].split()) for message in body["messages"] if message["role"] != "assistant")
        prompt = before + 1
        reply = {"model": body["model"], "prompt_logprobs": None}
        if body.get("continue_final_message"):
            words = len(body["messages"][-1]["content"].split())
            if self.gives_likelihoods:
                unlikely = {"7": {"logprob": -100.0, "rank": 9, "decoded_token": "?"}}
                likely = {"8": {"logprob": script.logprobs[question], "rank": 1, "decoded_token": "!"}}
                reply["prompt_logprobs"] = [None, *[unlikely] * (prompt - 1), *[likely] * words]
            prompt += words
        message = {"role": "assistant", "content": script.answers[question]}
        usage = {"prompt_tokens": prompt, "completion_tokens": 1, "total_tokens": prompt + 1}
        return reply | {"choices": [{"index": 0, "message": message}], "usage": usage}


@asynccontextmanager
async def listening(service: ScriptedService) -> AsyncIterator[ScriptedService]:
    app = web.Application()
    app.router.add_get("/v1/models", service.models)
    app.router.add_post("/v1/chat/completions", service.chat)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    service.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield service
    finally:
        await runner.cleanup()
