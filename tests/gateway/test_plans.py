"""Plans over HTTP: how they are asked for, and what a reply tells of them."""

import asyncio
import json
from typing import Any

import openai
import pytest
from aiohttp import web

from coe.config.models import PlanConfig
from tests.running_gateway import MakeReport, RunningGateway, StartGateway
from tests.scripted_worker import DONE, ScriptedWorker, StartWorker, completion, until


def chunk(model: str, *choices: tuple[int, str, str | None], tokens: int) -> bytes:
    found = [{"index": i, "delta": {"content": text}, "finish_reason": reason} for i, text, reason in choices]
    usage = {"prompt_tokens": 7, "completion_tokens": tokens, "total_tokens": 7 + tokens}
    body = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": model, "choices": found}
    return f"data: {json.dumps({**body, 'usage': usage})}\n\n".encode()


def samples(asked: dict[str, Any]) -> list[bytes]:
    """Every sample says its number, in two tokens; then the usage of all."""
    n, model = asked.get("n", 1), asked["model"]
    frames = [chunk(model, (place, f"sample {place}", "stop"), tokens=2) for place in range(n)]
    return [*frames, chunk(model, tokens=2 * n), DONE]


class SamplingWorker(ScriptedWorker):
    """Streams as many finished samples as it is asked for; `fails` are the experts that it refuses for."""

    def __init__(self) -> None:
        super().__init__()
        self.fails: set[str] = set()
        self._play = self._sample

    async def _sample(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        if asked["model"] in self.fails:
            error = {"message": "gone", "type": "server_error", "param": None, "code": "engine_died"}
            return web.json_response({"error": error}, status=500)
        if not asked.get("stream"):
            return web.Response(body=completion(asked["model"], "merged"), content_type="application/json")
        response = web.StreamResponse(headers={"content-type": "text/event-stream"})
        await response.prepare(request)
        for frame in samples(asked):
            await response.write(frame)
        return response


@pytest.fixture
async def worker(start_worker: StartWorker) -> Any:
    async with SamplingWorker().listening() as worker:
        yield worker


def expert_of(asked: Any) -> str:
    return str(asked.body["model"])


@pytest.mark.parametrize(
    "fields",
    [
        {"model": "coe/self-moa"},
        {"model": "coe", "coe": {"plan": "self-moa"}},
        {"model": "poet", "coe": {"plan": "self-moa"}},
    ],
)
async def test_a_plan_is_named_by_the_model_or_in_the_request(
    gateway: RunningGateway, worker: SamplingWorker, fields: dict[str, object]
) -> None:
    reply = await gateway.ask("a poem", **fields)
    assert reply.status == 200, reply.body
    assert reply.json()["choices"][0]["message"]["content"] == "merged"
    assert reply.json()["model"] == reply.headers["x-coe-expert"] == "poet"
    assert reply.headers["x-coe-plan"] == "self-moa"
    assert "x-coe-plan-notes" not in reply.headers
    sampling, merging = worker.asked
    assert (sampling.body["n"], sampling.body["temperature"], merging.body["temperature"]) == (6, 0.7, 0)
    assert "sample 5" in merging.body["messages"][0]["content"]
    assert sampling.headers["x-request-id"] == f"{merging.headers['x-request-id']}-1"


async def test_a_category_has_the_plan_of_the_configuration(
    start_gateway: StartGateway, make_report: MakeReport, worker: SamplingWorker
) -> None:
    plans = {"careful": PlanConfig(kind="self-moa", n=2)}
    gateway = await start_gateway(make_report(worker.url), plans=plans, category_plans={"poetry": "careful"})
    assert (await gateway.ask("a poem")).headers["x-coe-plan"] == "careful"
    assert (await gateway.ask("a contract")).headers["x-coe-plan"] == "single"
    assert (await gateway.ask("a poem", coe={"plan": "single"})).headers["x-coe-plan"] == "single"
    several = await gateway.ask("a poem", n=2)
    assert (several.headers["x-coe-plan"], several.headers["x-coe-plan-notes"]) == ("single", "skipped=n")


async def test_workers_are_told_of_what_a_plan_will_ask_and_they_have_to_bring_in(
    start_gateway: StartGateway, make_report: MakeReport, worker: SamplingWorker
) -> None:
    gateway = await start_gateway(make_report(worker.url, tier="host"))
    await gateway.ask("a poem", model="poet")
    reply = await gateway.ask("a poem", model="coe/moa", coe={"aggregator": "generalist"})
    assert reply.status == 200, reply.body
    await until(lambda: len(worker.announced) == 2)
    assert sorted(worker.announced) == [("generalist", 1.0), ("poet", 1.0)]


async def test_usage_is_summed_and_itemised_on_request(gateway: RunningGateway) -> None:
    total = {"prompt_tokens": 14, "completion_tokens": 15, "total_tokens": 29}
    plain = (await gateway.ask(model="coe/self-moa")).json()
    itemised = (await gateway.ask(model="coe/self-moa", coe={"usage": "calls"})).json()
    assert plain["usage"] == itemised["usage"] == total
    assert "coe" not in plain
    assert [call["completion_tokens"] for call in itemised["coe"]["calls"]] == [12, 3]


async def test_metrics_count_the_calls_of_plans_by_expert(gateway: RunningGateway) -> None:
    before = _metrics((await gateway.get("/metrics")).body)
    await gateway.ask("a poem", model="coe/moa", coe={"aggregator": "generalist"})
    after = _metrics((await gateway.get("/metrics")).body)
    gained = {name: after[name] - before.get(name, 0) for name in after}
    assert gained['coe_plan_calls_total{plan="moa",role="proposal"}'] == 2
    assert gained['coe_plan_calls_total{plan="moa",role="aggregation"}'] == 1
    assert gained['coe_plan_tokens_total{kind="completion",plan="moa"}'] == 2 + 2 + 3
    assert gained['coe_tokens_total{expert="poet",kind="completion"}'] == 2
    assert gained['coe_tokens_total{expert="generalist",kind="completion"}'] == 5


def _metrics(body: bytes) -> dict[str, float]:
    lines = [line.rsplit(" ", 1) for line in body.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in lines}


async def test_the_official_client_reads_a_streamed_plan(gateway: RunningGateway) -> None:
    async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key="none", max_retries=0) as official:
        stream = await official.chat.completions.create(
            model="coe/self-moa",
            messages=[{"role": "user", "content": "a poem"}],
            stream=True,
            stream_options={"include_usage": True},
            extra_body={"coe": {"progress": "events"}},
        )
        chunks = [each async for each in stream]
    text = "".join(choice.delta.content or "" for each in chunks for choice in each.choices)
    assert text == "sample 0"
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12 + 2
    assert len({each.id for each in chunks if not each.choices}) == 1


async def test_a_stream_shows_progress_in_comments_and_no_usage_unasked(gateway: RunningGateway) -> None:
    reply = await gateway.ask(model="coe/self-moa", stream=True, coe={"n": 2})
    frames = reply.body.split(b"\n\n")
    assert frames[:3] == [
        b": proposal 1 of 2: poet",
        b": proposal 2 of 2: poet",
        b": aggregating 2: poet",
    ]
    assert reply.body.endswith(DONE)
    assert not any(b'"choices": []' in frame or b'"choices":[]' in frame for frame in frames)
    assert reply.headers["x-coe-plan"] == "self-moa"


@pytest.mark.parametrize("stream", [False, True])
async def test_what_was_left_out_is_told_in_a_header(
    gateway: RunningGateway, worker: SamplingWorker, stream: bool
) -> None:
    worker.fails = {"generalist"}
    reply = await gateway.ask("a poem", model="coe/moa", stream=stream)
    assert reply.status == 200
    assert reply.headers["x-coe-plan-notes"] == "left_out=generalist:engine_died"


async def test_trimming_is_told_in_a_header(
    start_gateway: StartGateway, make_report: MakeReport, worker: SamplingWorker
) -> None:
    gateway = await start_gateway(make_report(worker.url), context=320)
    reply = await gateway.ask("a poem", model="coe/self-moa", max_tokens=8, coe={"n": 24})
    assert reply.headers["x-coe-plan-notes"].startswith("trimmed=poet:24/24_to_")


async def test_an_aggregator_that_fails_leaves_the_best_proposal_and_a_header(
    gateway: RunningGateway, worker: SamplingWorker
) -> None:
    worker.fails = {"generalist"}
    reply = await gateway.ask("a poem", model="coe/self-moa", coe={"aggregator": "generalist"})
    assert reply.json()["choices"][0]["message"]["content"] == "sample 0"
    assert reply.headers["x-coe-expert"] == "poet"
    assert reply.headers["x-coe-plan-notes"] == "fallback=generalist:engine_died"


async def test_a_request_over_a_bound_is_refused_with_the_bound(
    gateway: RunningGateway, worker: SamplingWorker
) -> None:
    reply = await gateway.ask(model="coe/self-moa", coe={"n": 40})
    error = reply.error
    assert (reply.status, error["param"], error["code"]) == (400, "coe.n", "plan_over_bound")
    assert "at most 32 (`max_calls`)" in error["message"]
    assert worker.asked == []


@pytest.mark.parametrize(
    ("own", "param"),
    [
        ({"budget": {"calls": 0}}, "coe.budget.calls"),
        ({"budget": {"money": 1}}, "coe.budget.money"),
        ({"progress": "loud"}, "coe.progress"),
        ({"proposers": []}, "coe.proposers"),
        ({"n": 0}, "coe.n"),
        ({"plan": "moa"}, "coe.plan"),
    ],
)
async def test_wrong_options_are_named(gateway: RunningGateway, own: dict[str, object], param: str) -> None:
    reply = await gateway.ask(model="coe/self-moa", coe=own)
    assert (reply.status, reply.error["param"]) == (400, param)


@pytest.mark.parametrize("stream", [False, True])
async def test_a_dry_run_shows_the_plan_and_asks_nobody(
    gateway: RunningGateway, worker: SamplingWorker, stream: bool
) -> None:
    reply = await gateway.ask(
        "a poem", model="coe/self-moa", stream=stream, max_tokens=50, coe={"dry_run": True, "n": 3}
    )
    told = reply.json()
    assert (told["object"], told["plan"], told["category"], told["expert"]) == (
        "coe.plan",
        "self-moa",
        "poetry",
        "poet",
    )
    assert (told["tree"]["calls"], told["tree"]["completion_tokens"]) == (4, 200)
    assert [part["node"] for part in told["tree"]["parts"]] == ["propose", "aggregate"]
    assert told["bounds"] == {"calls": 32, "tokens": 16384, "seconds": 300.0}
    assert worker.asked == []


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_stops_every_call(
    start_gateway: StartGateway, start_worker: StartWorker, make_report: MakeReport, stream: bool
) -> None:
    one, other = await start_worker(), await start_worker()
    one.stalls()
    other.stalls()
    gateway = await start_gateway(make_report(one.url, "poet"), make_report(other.url, "generalist", worker_id="w-1"))
    asking = asyncio.create_task(gateway.ask("a poem", model="coe/moa", stream=stream))
    await until(lambda: one.running == other.running == 1)
    asking.cancel()
    await until(lambda: one.aborted == other.aborted == 1)


async def test_feedback_about_a_plans_answer_says_nothing_of_one_expert(
    start_gateway: StartGateway, make_report: MakeReport, worker: SamplingWorker, redis: object
) -> None:
    gateway = await start_gateway(make_report(worker.url), redis=redis)
    reply = await gateway.ask("a poem", model="coe/self-moa")
    await gateway.settle()
    scored = await gateway.post("/v1/feedback", {"request_id": reply.headers["x-request-id"], "score": 1})
    assert scored.json() == {"recorded": True, "counts_for_map": False, "expert": "poet", "category": None}


async def test_an_answer_of_nobody_is_nobodys_to_score(
    start_gateway: StartGateway, make_report: MakeReport, worker: SamplingWorker, redis: object
) -> None:
    plans = {"thrifty": PlanConfig(kind="self-moa", mean_calls=0.5, null_answer="Ask again later.")}
    gateway = await start_gateway(make_report(worker.url), redis=redis, plans=plans)
    reply = await gateway.ask("a poem", model="coe/thrifty")
    assert reply.json()["choices"][0]["message"]["content"] == "Ask again later."
    assert (reply.headers["x-coe-expert"], reply.headers["x-coe-plan-notes"]) == ("null", "budget=null")
    await gateway.settle()
    scored = await gateway.post("/v1/feedback", {"request_id": reply.headers["x-request-id"], "score": 1})
    assert (scored.status, scored.error["code"]) == (409, "request_not_answered")


async def test_a_budgeted_plan_answers_from_the_cache_where_it_may_not_ask(
    start_gateway: StartGateway, make_report: MakeReport, worker: SamplingWorker, redis: object
) -> None:
    plans = {"thrifty": PlanConfig(kind="self-moa", mean_calls=0.5, null_answer="Ask again later.")}
    gateway = await start_gateway(make_report(worker.url), redis=redis, plans=plans)
    await gateway.ask("a poem", coe={"cache": "always"})
    reply = await gateway.ask("a poem", model="coe/thrifty")
    assert reply.json()["choices"][0]["message"]["content"] == "merged"
    assert (reply.headers["x-coe-cache"], reply.headers["x-coe-expert"]) == ("hit", "poet")
