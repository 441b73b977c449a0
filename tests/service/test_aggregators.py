"""Plans on the shipped composition: real engines answer, and stop when the client leaves."""

import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.service.running import RunningService

pytestmark = [pytest.mark.service, pytest.mark.engine, pytest.mark.timeout(900)]

MATH = "Tom has 3 boxes with 12 eggs each and eats 5 of them. How many eggs are left?"


def ask(client: httpx.Client, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "max_tokens": 24, "messages": [{"role": "user", "content": MATH}], **fields}
    return client.post("/v1/chat/completions", json=body)


@pytest.mark.parametrize("model", ["coe/self-moa", "coe/self-moa-seq"])
def test_self_moa_answers_with_the_routed_expert(client: httpx.Client, model: str) -> None:
    reply = ask(client, model, coe={"usage": "calls", "n": 5})
    answer = reply.json()
    assert reply.status_code == 200, answer
    assert answer["choices"][0]["message"]["content"]
    assert answer["model"] == reply.headers["x-coe-expert"] == "arithmetician"
    assert (reply.headers["x-coe-category"], reply.headers["x-coe-plan"]) == ("arithmetic", model.removeprefix("coe/"))
    calls = answer["coe"]["calls"]
    assert calls[0]["samples"] == 5  # one engine request
    assert 5 <= calls[0]["completion_tokens"] <= 5 * 24
    assert answer["usage"]["completion_tokens"] == sum(call["completion_tokens"] for call in calls)
    assert {call["outcome"] for call in calls} == {"ok"}


def test_moa_streams_progress_and_then_tokens(client: httpx.Client) -> None:
    fields = {
        "stream": True,
        "stream_options": {"include_usage": True},
        "coe": {"proposers": ["generalist", "arithmetician", "extractor"], "aggregator": "generalist"},
    }
    reply = ask(client, "coe/moa", **fields)
    assert reply.status_code == 200
    assert (reply.headers["x-coe-plan"], reply.headers["x-coe-expert"]) == ("moa", "generalist")
    lines = [line for line in reply.text.splitlines() if line]
    assert re.fullmatch(r": proposal 1 of 3: \S+", lines[0])
    assert ": aggregating 3: generalist" in lines
    assert lines[-1] == "data: [DONE]"
    events = [json.loads(line.removeprefix("data: ")) for line in lines[:-1] if line.startswith("data: ")]
    pieces = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
    assert "".join(pieces)
    assert len(pieces) > 2  # token by token
    assert events[-1]["usage"]["completion_tokens"] > len(pieces)  # of all calls
    assert len({event["id"] for event in events}) == 1


@pytest.mark.parametrize("plan", ["moa", "vote", "cascade", "best-of-n"])
def test_every_other_plan_answers_complete(client: httpx.Client, plan: str) -> None:
    reply = ask(client, f"coe/{plan}")
    assert reply.status_code == 200, reply.text
    assert reply.json()["choices"][0]["message"]["content"]
    assert reply.headers["x-coe-plan"] == plan


def test_best_of_n_asks_a_weaker_expert_how_likely_it_finds_each_sample(client: httpx.Client) -> None:
    """The adapter is the strong expert, its base the weak one: both on one model."""
    sampled = ask(client, "arithmetician", n=2, logprobs=True, temperature=0.7, max_tokens=8).json()
    text = sampled["choices"][0]["message"]["content"]
    conversation = [{"role": "user", "content": MATH}, {"role": "assistant", "content": text}]
    scored = client.post(
        "/v1/chat/completions",
        json={
            "model": "generalist",
            "messages": conversation,
            "add_generation_prompt": False,
            "continue_final_message": True,
            "prompt_logprobs": 0,
            "max_tokens": 1,
        },
    ).json()
    tokens = sampled["choices"][0]["logprobs"]["content"]
    tail = scored["prompt_logprobs"][-len(tokens) :]
    assert [next(iter(token.values()))["decoded_token"] for token in tail] == [token["token"] for token in tokens]


def test_the_schema_holds_for_the_final_answer(client: httpx.Client) -> None:
    schema = {"type": "object", "properties": {"eggs": {"type": "integer"}}, "required": ["eggs"]}
    response_format = {"type": "json_schema", "json_schema": {"name": "eggs", "schema": schema}}
    reply = ask(client, "coe/self-moa", max_tokens=48, response_format=response_format, coe={"n": 2})
    assert isinstance(json.loads(reply.json()["choices"][0]["message"]["content"])["eggs"], int)


def test_proposals_that_are_too_long_for_the_context_are_cut(client: httpx.Client) -> None:
    story = [{"role": "user", "content": "Tell a long story about the sea."}]
    reply = ask(client, "generalist", messages=story, max_tokens=400, ignore_eos=True, coe={"plan": "self-moa", "n": 5})
    assert reply.status_code == 200, reply.text
    assert reply.headers["x-coe-plan-notes"].startswith("trimmed=generalist:5/5_to_")
    assert reply.json()["usage"]["prompt_tokens"] < 2 * 2048


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_leaves_stops_all_calls_in_the_engine(
    client: httpx.Client, local_service: RunningService, stream: bool
) -> None:
    fields = {"max_tokens": 600, "ignore_eos": True, "stream": stream, "coe": {"plan": "self-moa", "n": 6}}
    body = {"model": "generalist", "messages": [{"role": "user", "content": "Tell a long story."}], **fields}
    socket = _engine_socket(local_service)
    left_it = threading.Event()

    def most_running() -> float:
        most = 0.0
        while not left_it.wait(0.1):
            most = max(most, _engine_running(socket))
        return most

    with ThreadPoolExecutor(1) as pool, httpx.Client(base_url=client.base_url, timeout=5.0) as impatient:
        watching = pool.submit(most_running)
        try:
            with pytest.raises(httpx.ReadTimeout):
                impatient.post("/v1/chat/completions", json=body)  # nothing comes within 5 s: it leaves
        finally:
            left_it.set()
        assert watching.result() == 6.0  # the samples of one request
    deadline = time.monotonic() + 10
    while (left := _engine_running(socket)) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert left == 0


def _engine_running(socket: str) -> float:
    """Requests that vLLM itself says are running or waiting."""
    with httpx.Client(transport=httpx.HTTPTransport(uds=socket), base_url="http://engine", timeout=30) as engine:
        metrics = engine.get("/metrics").text
    found = re.findall(r"^vllm:num_requests_(?:running|waiting)(?:\{.*\})? ([\d.e+]+)$", metrics, re.MULTILINE)
    assert len(found) >= 2
    return sum(float(value) for value in found)


def _engine_socket(service: RunningService) -> str:
    return next(command[command.index("--uds") + 1] for _, command in service.commands() if "--uds" in command)
