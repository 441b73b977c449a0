import asyncio

import orjson
import pytest

from coe.config.models import CacheConfig
from tests.running_gateway import MakeReport, RunningGateway, StartGateway
from tests.scripted_worker import DONE, ScriptedWorker, StartWorker, chunk, completion, until, usage_chunk

ENGINE_FIELDS = {
    "tools": [{"type": "function", "function": {"name": "look", "parameters": {"type": "object"}}}],
    "tool_choice": "auto",
    "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}},
    "n": 2,
    "seed": 7,
    "stop": ["\n", "END"],
    "logprobs": True,
    "top_logprobs": 3,
    "chat_template_kwargs": {"thinking": False},
    "min_p": 0.1,
}


async def test_a_routed_request_is_answered_by_the_expert_of_its_category(
    gateway: RunningGateway, worker: ScriptedWorker
) -> None:
    worker.swap_ms = 12.5
    reply = await gateway.ask("a poem please")
    answer = reply.json()
    assert reply.status == 200
    assert answer["choices"][0]["message"]["content"] == "Hello there."
    assert answer["model"] == "poet"
    assert reply.headers["x-coe-expert"] == "poet"
    assert reply.headers["x-coe-category"] == "poetry"
    assert reply.headers["x-coe-confidence"] == "0.9000"
    assert reply.headers["x-coe-plan"] == "single"
    assert reply.headers["x-coe-swap-ms"] == "12.5"
    assert float(reply.headers["x-coe-router-ms"]) > 0
    assert reply.headers["x-request-id"]
    assert "x-coe-cache" not in reply.headers


async def test_a_category_without_an_expert_goes_to_the_general_one(gateway: RunningGateway) -> None:
    reply = await gateway.ask("a contract")
    assert (reply.headers["x-coe-category"], reply.headers["x-coe-expert"]) == ("law", "generalist")


async def test_what_the_router_will_not_decide_goes_to_the_general_expert(gateway: RunningGateway) -> None:
    reply = await gateway.ask("unclear poem")
    assert (reply.headers["x-coe-category"], reply.headers["x-coe-expert"]) == ("general", "generalist")
    assert reply.headers["x-coe-confidence"] == "0.8000"


@pytest.mark.parametrize(
    "messages",
    [
        [{"role": "system", "content": "Be brief."}],
        [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}],
        [{"role": "user", "content": None}],
    ],
)
async def test_a_conversation_without_text_goes_to_the_general_expert_unclassified(
    gateway: RunningGateway, messages: list[object]
) -> None:
    reply = await gateway.post("/v1/chat/completions", {"model": "coe", "messages": messages})
    assert reply.status == 200
    assert (reply.headers["x-coe-category"], reply.headers["x-coe-expert"]) == ("general", "generalist")
    assert gateway.classifier.texts == []


async def test_a_named_expert_answers_without_routing(gateway: RunningGateway) -> None:
    reply = await gateway.ask("a contract", model="poet")
    assert reply.headers["x-coe-expert"] == "poet"
    assert (reply.headers["x-coe-category"], reply.headers["x-coe-confidence"]) == ("none", "1.0000")
    assert gateway.classifier.texts == []


async def test_an_unknown_model_is_told_with_the_known_ones(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    reply = await gateway.ask(model="gpt-4")
    error = reply.error
    assert reply.status == 404
    assert (error["type"], error["param"], error["code"]) == ("invalid_request_error", "model", "model_not_found")
    assert "coe, generalist, poet" in error["message"]
    assert worker.asked == []


async def test_a_stream_that_waits_for_its_expert_is_told_how_long(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker
) -> None:
    report = make_report(worker.url, tier="disk", wait_s=12.0, swap_s=12.0)
    gateway = await start_gateway(report, ping_interval_s=0.05)
    worker.stalls()
    asking = asyncio.create_task(gateway.ask(stream=True))
    await asyncio.sleep(0.2)
    worker.release()
    assert (await asking).body.startswith(b": queued for poet behind 0, about 12 s\n\n")


@pytest.mark.parametrize("stream", [False, True])
async def test_the_engines_fields_reach_the_worker_untouched(
    gateway: RunningGateway, worker: ScriptedWorker, stream: bool
) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "a poem"}], "name": "x"}]
    body = {"messages": messages, "stream": stream, **ENGINE_FIELDS}
    await gateway.post("/v1/chat/completions", {**body, "model": "coe", "coe": {"cache": "off"}})
    asked = worker.asked[0]
    options = {"stream_options": {"include_usage": True}} if stream else {}
    assert asked.body == {**body, **options, "model": "poet"}


async def test_the_worker_is_told_the_token_and_the_request_id(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    body = {"model": "poet", "messages": [{"role": "user", "content": "x"}]}
    reply = await gateway.post("/v1/chat/completions", body, **{"x-request-id": "abc-1"})
    assert reply.headers["x-request-id"] == "abc-1"
    headers = worker.asked[0].headers
    assert (headers["x-coe-token"], headers["x-request-id"]) == ("token-of-the-tests", "abc-1")


async def test_a_stream_is_passed_on_frame_by_frame(gateway: RunningGateway) -> None:
    reply = await gateway.ask(stream=True)
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-coe-expert"] == "poet"
    assert reply.body == chunk("poet", "Hello ") + chunk("poet", "there.") + DONE


async def test_the_usage_frame_is_for_those_who_ask(gateway: RunningGateway) -> None:
    asked = (await gateway.ask(stream=True, stream_options={"include_usage": True})).body
    unasked = (await gateway.ask(stream=True, stream_options={"include_usage": False})).body
    assert asked == chunk("poet", "Hello ") + chunk("poet", "there.") + usage_chunk("poet") + DONE
    assert unasked == asked.replace(usage_chunk("poet"), b"")


async def test_the_first_frame_does_not_wait_for_the_last(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.stalls(chunk("poet", "early"))
    body = {"model": "coe", "messages": [{"role": "user", "content": "a poem"}], "stream": True}
    async with gateway.client.post("/v1/chat/completions", json=body) as reply:
        assert await reply.content.readuntil(b"\n\n") == chunk("poet", "early")
        worker.release()
        assert (await reply.read()).endswith(DONE)


async def test_servers_that_write_crlf_are_understood(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    frames = [frame.replace(b"\n", b"\r\n") for frame in (chunk("poet", "Hi"), usage_chunk("poet"), DONE)]
    worker.streams(*frames)
    assert (await gateway.ask(stream=True)).body == frames[0] + frames[2]


async def test_a_stream_that_waits_is_kept_open_by_pings(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker
) -> None:
    gateway = await start_gateway(make_report(worker.url), ping_interval_s=0.05)
    worker.stalls()
    asking = asyncio.create_task(gateway.ask(stream=True))
    await asyncio.sleep(0.2)
    worker.release()
    text = (await asking).body
    assert text.startswith(b": ping\n\n: ping\n\n")
    assert text.replace(b": ping\n\n", b"") == chunk("poet", "Hello ") + chunk("poet", "there.") + DONE


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(("status", "code"), [(400, "context_length_exceeded"), (404, None), (500, "engine_error")])
async def test_a_workers_refusal_is_relayed_with_its_status(
    gateway: RunningGateway, worker: ScriptedWorker, status: int, code: str | None, stream: bool
) -> None:
    worker.refuses(status, code)
    reply = await gateway.ask(stream=stream)
    error = {"message": f"scripted {status}", "type": "scripted_error", "param": "n", "code": code}
    assert (reply.status, reply.json()) == (status, {"error": error})


async def test_an_error_that_cannot_be_read_still_has_all_keys(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.sends(b"<html>bad gateway</html>", 502, "text/html")
    reply = await gateway.ask()
    error = reply.error
    assert reply.status == 502
    assert error.keys() == {"message", "type", "param", "code"}
    assert reply.headers["x-should-retry"] == "false"


async def test_an_overloaded_expert_asks_to_come_back(
    start_gateway: StartGateway, start_worker: StartWorker, make_report: MakeReport
) -> None:
    poet, general = await start_worker(), await start_worker()
    poet.refuses(429, "queue_full", retry_after=7)
    gateway = await start_gateway(
        make_report(poet.url, "poet"), make_report(general.url, "generalist", worker_id="w-1")
    )
    reply = await gateway.ask("a poem")
    assert (reply.status, reply.headers["retry-after"]) == (429, "7")
    assert general.asked == []


@pytest.mark.parametrize("stream", [False, True])
async def test_the_general_expert_stands_in_for_one_that_is_unavailable(
    start_gateway: StartGateway, start_worker: StartWorker, make_report: MakeReport, stream: bool
) -> None:
    poet, general = await start_worker(), await start_worker()
    poet.refuses(503, "engine_died", retry_after=5)
    gateway = await start_gateway(
        make_report(poet.url, "poet"), make_report(general.url, "generalist", worker_id="w-1")
    )
    reply = await gateway.ask("a poem", stream=stream)
    assert reply.status == 200
    assert reply.headers["x-coe-expert"] == "generalist"
    assert reply.headers["x-coe-category"] == "poetry"
    assert general.asked[0].body["model"] == "generalist"


async def test_no_one_stands_in_for_a_named_expert(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    gateway = await start_gateway(
        make_report(worker.url, "generalist"), make_report(worker.url, "poet", worker_id="w-1", state="loading")
    )
    reply = await gateway.ask(model="poet")
    error = reply.error
    assert (reply.status, error["code"]) == (503, "expert_unavailable")
    assert "`poet` is loading" in error["message"]
    assert int(reply.headers["retry-after"]) > 0


async def test_a_worker_lost_in_mid_stream_ends_it_with_an_error(
    gateway: RunningGateway, worker: ScriptedWorker
) -> None:
    worker.dies(chunk("poet", "Hello "))
    reply = await gateway.ask(stream=True)
    first, last, rest = reply.body.split(b"\n\n")
    assert first + b"\n\n" == chunk("poet", "Hello ")
    error = orjson.loads(last.removeprefix(b"data: "))["error"]
    assert error.keys() == {"message", "type", "param", "code"}
    assert error["code"] == "worker_lost"
    assert rest == b""


async def test_a_worker_lost_in_a_complete_answer_is_an_error(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.dies(completion("poet")[:20], sending="application/json")
    reply = await gateway.ask()
    assert reply.status == 503
    assert reply.error["code"] == "worker_lost"


@pytest.mark.parametrize("stream", [True, False])
async def test_an_empty_answer_is_an_error_to_come_back_from(
    gateway: RunningGateway, worker: ScriptedWorker, stream: bool
) -> None:
    worker.sends(b"", content_type="text/event-stream" if stream else "application/json")
    reply = await gateway.ask(stream=stream)
    assert (reply.status, reply.error["code"]) == (503, "worker_lost")
    assert reply.headers["retry-after"] == "5"


async def test_a_stream_that_stays_empty_after_its_pings_ends_with_an_error(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = await start_gateway(make_report(worker.url), ping_interval_s=0.05)
    monkeypatch.setattr(worker, "frames", lambda _: [])
    worker.stalls()
    asking = asyncio.create_task(gateway.ask(stream=True))
    await asyncio.sleep(0.2)
    worker.release()
    *pings, error = (await asking).body.split(b"\n\n")[:-1]
    assert set(pings) == {b": ping"}
    assert orjson.loads(error.removeprefix(b"data: "))["error"]["code"] == "worker_lost"


async def test_an_answer_that_takes_too_long_is_given_up(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker
) -> None:
    gateway = await start_gateway(make_report(worker.url), timeout_s=0.1)
    worker.stalls()
    for stream in (False, True):
        reply = await gateway.ask(stream=stream)
        error = reply.error
        assert (reply.status, error["code"]) == (504, "deadline_exceeded")
        assert reply.headers["x-should-retry"] == "false"
    await until(lambda: worker.aborted == 2)


async def test_a_stream_that_takes_too_long_ends_with_an_error(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker
) -> None:
    gateway = await start_gateway(make_report(worker.url), timeout_s=0.2)
    worker.stalls(chunk("poet", "Hello "))
    frames = (await gateway.ask(stream=True)).body.split(b"\n\n")
    assert orjson.loads(frames[1].removeprefix(b"data: "))["error"]["code"] == "deadline_exceeded"
    assert frames[2:] == [b""]
    await until(lambda: worker.aborted == 1)


async def test_more_requests_than_the_limit_are_refused(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker
) -> None:
    gateway = await start_gateway(make_report(worker.url), max_concurrent=2)
    worker.stalls()
    running = [asyncio.create_task(gateway.ask(stream=stream)) for stream in (False, True)]
    await until(lambda: worker.running == 2)
    refused = await gateway.ask()
    error = refused.error
    assert (refused.status, refused.headers["retry-after"]) == (429, "1")
    assert (error["type"], error["code"]) == ("rate_limit_error", "rate_limit_exceeded")
    worker.release()
    assert [reply.status for reply in await asyncio.gather(*running)] == [200, 200]
    assert (await gateway.ask()).status == 200


async def test_draining_refuses_new_requests_and_waits_for_the_running_ones(
    gateway: RunningGateway, worker: ScriptedWorker
) -> None:
    worker.stalls(chunk("poet", "Hello "))
    running = asyncio.create_task(gateway.ask(stream=True))
    await until(lambda: worker.running == 1)
    draining = asyncio.create_task(gateway.chat.drain(5.0))
    await asyncio.sleep(0.05)
    refused = await gateway.ask()
    assert (refused.status, refused.error["code"]) == (503, "draining")
    assert int(refused.headers["retry-after"]) > 0
    assert not draining.done()
    worker.release()
    assert (await running).body.endswith(DONE)
    assert await draining is True


async def test_draining_gives_up_after_its_time(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.stalls()
    running = asyncio.create_task(gateway.ask())
    await until(lambda: worker.running == 1)
    assert await gateway.chat.drain(0.05) is False
    worker.release()
    await running


async def test_a_repeated_question_is_answered_from_the_cache(
    start_gateway: StartGateway, make_report: MakeReport, worker: ScriptedWorker, redis: object
) -> None:
    cache = CacheConfig(mode="greedy")
    gateway = await start_gateway(make_report(worker.url), redis=redis, cache=cache)
    replies = [await gateway.ask(temperature=0, stream=True) for _ in range(2)]
    assert [reply.headers["x-coe-cache"] for reply in replies] == ["miss", "hit"]
    assert replies[0].body == replies[1].body
    assert len(worker.asked) == 1


@pytest.mark.parametrize("pieces", [(b"",), (b"dat",)])
async def test_a_worker_lost_before_its_first_frame_is_an_error_with_a_status(
    gateway: RunningGateway, worker: ScriptedWorker, pieces: tuple[bytes, ...]
) -> None:
    worker.dies(*pieces)
    reply = await gateway.ask(stream=True)
    assert (reply.status, reply.headers["content-type"]) == (503, "application/json")
    assert reply.error["code"] in {"worker_lost", "expert_unavailable"}
