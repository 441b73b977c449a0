"""What holds for every reply: an id, one shape of errors, one line in the log."""

import asyncio
import re

import pytest
import structlog
from structlog.testing import capture_logs

from coe.routing import Routed
from tests.running_gateway import RunningGateway
from tests.scripted_worker import ScriptedWorker, chunk, until

CHAT = "/v1/chat/completions"
SECRET = "a poem about my secret"


@pytest.mark.parametrize("path", ["/health", "/v1/models", "/nowhere", CHAT])
async def test_every_reply_has_an_id(gateway: RunningGateway, path: str) -> None:
    first, second = await gateway.get(path), await gateway.get(path)
    assert re.fullmatch("[0-9a-f]{32}", first.headers["x-request-id"])
    assert first.headers["x-request-id"] != second.headers["x-request-id"]


async def test_the_clients_id_is_kept(gateway: RunningGateway) -> None:
    reply = await gateway.get("/health", **{"x-request-id": "client-7"})
    assert reply.headers["x-request-id"] == "client-7"


@pytest.mark.parametrize("given", ["", "with space", "x" * 257, "naïve"])
async def test_an_id_that_is_not_safe_to_repeat_is_replaced(gateway: RunningGateway, given: str) -> None:
    reply = await gateway.get("/health", **{"x-request-id": given})
    assert re.fullmatch("[0-9a-f]{32}", reply.headers["x-request-id"])


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/embeddings", "/v1/models/", "/health/", "/%00"])
async def test_an_unknown_path_is_an_openai_error(gateway: RunningGateway, path: str) -> None:
    reply = await gateway.get(path)
    assert reply.status == 404
    assert reply.error["type"] == "invalid_request_error"


@pytest.mark.parametrize(("method", "path"), [("GET", CHAT), ("DELETE", "/v1/models"), ("GET", "/v1/route")])
async def test_a_wrong_method_is_an_openai_error(gateway: RunningGateway, method: str, path: str) -> None:
    reply = await gateway.send(method, path)
    assert (reply.status, reply.error["code"]) == (405, "method_not_allowed")


async def test_a_fault_of_the_service_is_an_openai_error_too(
    gateway: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(_: object, __: str) -> Routed:
        raise LookupError("nobody expected this")

    monkeypatch.setattr(type(gateway.classifier), "route", fail)
    with capture_logs() as lines:
        reply = await gateway.ask()
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert "nobody expected" not in reply.error["message"]
    assert any("nobody expected this" in str(line.get("error")) for line in lines)


async def test_a_request_is_one_line_in_the_log(gateway: RunningGateway) -> None:
    with capture_logs([structlog.contextvars.merge_contextvars]) as lines:
        reply = await gateway.ask(SECRET, stream=True)
        await gateway.get("/health")
    assert len(lines) == 1
    line = lines[0]
    assert line["event"] == "request"
    assert line["request_id"] == reply.headers["x-request-id"]
    assert (line["endpoint"], line["status"], line["error"]) == (CHAT, 200, None)
    assert (line["expert"], line["category"], line["confidence"], line["plan"]) == ("poet", "poetry", 0.9, "single")
    assert (line["prompt_tokens"], line["completion_tokens"]) == (7, 3)
    assert 0 < line["ttft_s"] <= line["duration_s"]


async def test_the_log_holds_no_prompt_text(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    with capture_logs() as lines:
        await gateway.ask(SECRET)
        await gateway.post("/v1/route", {"prompt": SECRET})
        await gateway.ask(SECRET, model="secret")
        await gateway.ask(SECRET, n=0)
        worker.dies()
        await gateway.ask(SECRET)
    assert len(lines) >= 5
    assert "secret" not in str(lines)


async def test_who_left_is_logged_as_such(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.stalls(chunk("poet", "Hello "))
    with capture_logs() as lines:
        asking = asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: worker.running == 1)
        asking.cancel()
        await until(lambda: bool(lines))
    assert lines[0]["status"] == 499
