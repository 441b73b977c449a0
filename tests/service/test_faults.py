"""What people see when parts of a running service fail, or when it is told to stop.

The engines here are scripted servers that the service attaches to (`models.*.url`), so that each fault comes on cue
and a start takes seconds; everything else is the real service.
"""

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from aiohttp import web

from tests.service.running import LOCAL_CONFIG, RunningService, RunService, assert_all_gone, free_port

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

CHUNK = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "scripted"}
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


class ScriptedEngine:
    """Streams one word every 100 ms, as many as `max_tokens` says, for ever without it."""

    def __init__(self) -> None:
        self.port = free_port()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self) -> None:
        app = web.Application()
        app.router.add_get("/health", _ok)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self.port).start())
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        if not asked.get("stream"):
            choice = {"index": 0, "message": {"role": "assistant", "content": "yes"}, "finish_reason": "stop"}
            return web.json_response({**CHUNK, "object": "chat.completion", "choices": [choice], "usage": USAGE})
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for _ in range(asked.get("max_tokens", 10_000)):
            await _frame(response, {**CHUNK, "choices": [{"index": 0, "delta": {"content": "word "}}]})
            await asyncio.sleep(0.1)
        await _frame(response, {**CHUNK, "choices": [], "usage": USAGE})
        await response.write(b"data: [DONE]\n\n")
        return response


async def _ok(_: web.Request) -> web.Response:
    return web.Response()


async def _frame(response: web.StreamResponse, content: dict[str, Any]) -> None:
    await response.write(b"data: " + json.dumps(content, separators=(",", ":")).encode() + b"\n\n")


@pytest.fixture(scope="module")
def engine() -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine()
    yield engine
    engine.close()


def attached_config(engine: ScriptedEngine) -> dict[str, object]:
    """Two experts on two workers, so that the loss of one can be told from the loss of both."""
    return {
        "router": {"path": str(LOCAL_CONFIG.parent / "router"), "general": "steady"},
        "models": {"scripted": {"url": f"http://127.0.0.1:{engine.port}", "served_name": "scripted"}},
        "experts": {"steady": {"model": "scripted"}, "doomed": {"model": "scripted"}},
        "workers": {"first": {"experts": ["steady"]}, "second": {"experts": ["doomed"]}},
    }


def ask(url: str, model: str = "steady", prompt: str = "Are you there?") -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": prompt}]}
    return httpx.post(f"{url}/v1/chat/completions", json=body, timeout=60)


def stream_lines(url: str, model: str, max_tokens: int) -> Iterator[str]:
    message = {"role": "user", "content": "Count."}
    body = {"model": model, "stream": True, "max_tokens": max_tokens, "messages": [message]}
    with httpx.stream("POST", f"{url}/v1/chat/completions", json=body, timeout=30) as response:
        yield from (line for line in response.iter_lines() if line)


def wait_until_answered(url: str, model: str, seconds: float) -> httpx.Response:
    deadline = time.monotonic() + seconds
    while True:
        response = ask(url, model)
        if response.status_code == 200 or time.monotonic() > deadline:
            return response
        time.sleep(0.5)


def worker_pid(service: RunningService, group: str) -> int:
    workers = httpx.get(f"{service.url}/v1/workers").json()
    return int(next(worker["pid"] for worker in workers if worker["group"] == group))


def test_faults_of_parts_and_the_end_of_the_whole(engine: ScriptedEngine, start_service: RunService) -> None:
    """One service lives through all of it, as it must: each step needs the one before to have healed."""
    with start_service(attached_config(engine)) as service:
        killed_worker_is_told_and_comes_back(service)
        killed_redis_costs_no_answer(service)
        running_stream_is_finished_before_the_end(service)


def killed_worker_is_told_and_comes_back(service: RunningService) -> None:
    lines = stream_lines(service.url, "doomed", 100)
    assert "word" in next(lines)

    os.kill(worker_pid(service, "second"), signal.SIGKILL)
    rest = list(lines)

    assert json.loads(rest[-1].removeprefix("data: "))["error"]["code"] == "worker_lost"
    assert "data: [DONE]" not in rest
    assert ask(service.url, "steady").status_code == 200
    assert wait_until_answered(service.url, "doomed", 60).status_code == 200


def _redis(service: RunningService) -> list[psutil.Process]:
    return [process for process, command in service.commands() if command and "redis-server" in command[0]]


def killed_redis_costs_no_answer(service: RunningService) -> None:
    _redis(service)[0].kill()

    assert all(ask(service.url, model).status_code == 200 for model in ("steady", "doomed") for _ in range(5))
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if _redis(service):
            break
        time.sleep(0.2)
    else:
        pytest.fail("the embedded Redis did not come back")


def running_stream_is_finished_before_the_end(service: RunningService) -> None:
    processes = service.descendants()
    lines = stream_lines(service.url, "steady", 30)
    next(lines)

    os.killpg(service.process.pid, signal.SIGINT)  # as the terminal's Ctrl-C: to every process of the group
    rest = list(lines)
    code = service.process.wait(60)

    assert rest[-1] == "data: [DONE]"
    assert code == 0
    assert_all_gone(processes)


def test_not_even_sigkill_leaves_a_process_behind(engine: ScriptedEngine, start_service: RunService) -> None:
    with start_service(attached_config(engine)) as service:
        processes = service.descendants()
        service.process.kill()
        assert_all_gone(processes, timeout_s=60)


def serve(config: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "coe.cli.main", "serve", str(config)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, **environment},
    )


def test_a_port_in_use_is_named_with_the_remedy(engine: ScriptedEngine, tmp_path: Path) -> None:
    result = serve(LOCAL_CONFIG, COE_SERVER__PORT=str(engine.port))

    assert result.returncode == 1
    assert f"127.0.0.1:{engine.port}" in result.stderr
    assert "COE_SERVER__PORT" in result.stderr


def test_a_broken_configuration_is_refused_before_anything_starts(tmp_path: Path) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(LOCAL_CONFIG.read_text().replace("general: generalist", "general: nobody"))

    result = serve(broken)

    assert result.returncode == 2
    assert f"{broken}:" in result.stderr
    assert "no expert `nobody`" in result.stderr


def test_an_engine_that_dies_at_start_is_explained(tmp_path: Path) -> None:
    """Real vLLM, told to do what it cannot: a model directory without weights."""
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text('{"architectures": ["NoSuchModel"], "model_type": "llama"}')
    config = tmp_path / "dying.yaml"
    config.write_text(
        f"router: {{path: {LOCAL_CONFIG.parent / 'router'}, general: only}}\n"
        f"models: {{m: {{source: 'path:{model}'}}}}\nexperts: {{only: {{model: m}}}}\nworkers: {{local: {{}}}}\n"
        f"server: {{port: {free_port()}}}\n"
    )

    result = serve(config)

    assert result.returncode == 1
    assert "No expert can answer" in result.stderr
