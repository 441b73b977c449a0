"""The shipped composition, whole: HAProxy, gateway, router, worker, real vLLM, real Redis."""

import json
import time
from typing import Any

import httpx
import openai
import pytest

pytestmark = [pytest.mark.service, pytest.mark.engine, pytest.mark.timeout(900)]

CODE = "Write a Python function `total_even(values)` that returns the sum of the even numbers in values."
MATH = "Tom has 3 boxes with 12 eggs each and eats 5 of them. How many eggs are left?"


def ask(client: httpx.Client, prompt: str, **fields: Any) -> httpx.Response:
    body = {"model": "coe", "max_tokens": 16, "messages": [{"role": "user", "content": prompt}], **fields}
    return client.post("/v1/chat/completions", json=body)


def test_prompts_of_two_categories_are_answered_by_two_experts(client: httpx.Client) -> None:
    code, math = ask(client, CODE), ask(client, MATH)

    assert (code.status_code, math.status_code) == (200, 200)
    assert code.headers["x-coe-expert"] == code.json()["model"] == "python-writer"
    assert math.headers["x-coe-expert"] == math.json()["model"] == "arithmetician"
    assert code.headers["x-coe-category"] == "python"
    assert math.headers["x-coe-category"] == "arithmetic"
    assert 0 < float(code.headers["x-coe-confidence"]) <= 1


def test_every_reply_has_one_request_id_and_the_headers_of_the_decision(client: httpx.Client) -> None:
    reply = ask(client, CODE)
    refused = client.post("/v1/chat/completions", content=b"{")

    assert {"x-coe-plan", "x-coe-swap-ms", "x-coe-router-ms"} <= set(reply.headers)
    for response in (reply, refused):
        assert len(response.headers.get_list("x-request-id")) == 1


def test_the_official_client_is_served_complete_and_streaming(client: httpx.Client) -> None:
    with openai.OpenAI(base_url=f"{client.base_url}/v1", api_key="none", max_retries=0) as official:
        question: Any = {"model": "coe", "max_tokens": 12, "messages": [{"role": "user", "content": MATH}]}
        complete = official.chat.completions.create(**question)
        chunks = list(official.chat.completions.create(**question, stream=True, stream_options={"include_usage": True}))
        models = {model.id for model in official.models.list()}
        with pytest.raises(openai.NotFoundError) as unknown:
            official.chat.completions.create(**{**question, "model": "nobody"})

    assert complete.choices[0].message.content
    assert complete.usage is not None
    assert complete.usage.completion_tokens == 12
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == complete.choices[0].message.content  # the arithmetician is greedy
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 12
    assert {chunk.model for chunk in chunks} == {"arithmetician"}
    assert {"coe", "arithmetician", "generalist"} <= models
    assert unknown.value.code == "model_not_found"


def test_engine_features_pass_through(client: httpx.Client) -> None:
    several = ask(client, CODE, n=2, logprobs=True, top_logprobs=2, seed=7, temperature=0.9).json()
    again = ask(client, CODE, n=2, logprobs=True, top_logprobs=2, seed=7, temperature=0.9).json()
    stopped = ask(client, MATH, stop=["Answer"], max_tokens=64).json()
    schema = {"type": "object", "properties": {"km": {"type": "integer"}}, "required": ["km"]}
    structured = ask(
        client,
        "How far? 180 km.",
        model="extractor",
        max_tokens=48,
        response_format={"type": "json_schema", "json_schema": {"name": "distance", "schema": schema}},
    ).json()
    tool = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    tools = ask(client, "Add 2 and 3.", tools=[tool])

    assert len(several["choices"]) == 2
    assert len(several["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) == 2
    assert [choice["message"] for choice in several["choices"]] == [choice["message"] for choice in again["choices"]]
    assert "Answer" not in stopped["choices"][0]["message"]["content"]
    assert isinstance(json.loads(structured["choices"][0]["message"]["content"])["km"], int)
    assert tools.status_code == 200


def test_the_engine_says_why_it_refuses(client: httpx.Client) -> None:
    refused = ask(client, "word " * 4000)

    assert refused.status_code == 400
    assert set(refused.json()["error"]) == {"message", "type", "param", "code"}


def test_a_client_that_leaves_stops_the_generation(client: httpx.Client) -> None:
    body = {"model": "generalist", "stream": True, "max_tokens": 700, "ignore_eos": True}
    message = {"role": "user", "content": "Tell a long story."}
    with client.stream("POST", "/v1/chat/completions", json={**body, "messages": [message]}) as response:
        next(response.iter_bytes())
        assert wait_for_running(client, 1)

    assert wait_for_running(client, 0)


def wait_for_running(client: httpx.Client, wanted: int) -> bool:
    """Whether the workers come to report this many running requests; they report every two seconds."""
    deadline = time.monotonic() + 15
    while time.monotonic() < deadline:
        workers = client.get("/v1/workers").json()
        if sum(expert["running"] for worker in workers for expert in worker["experts"]) == wanted:
            return True
        time.sleep(0.2)
    return False


def test_metrics_count_what_was_asked(client: httpx.Client) -> None:
    ask(client, CODE)
    metrics = client.get("/metrics").text

    assert 'coe_requests_total{endpoint="/v1/chat/completions",expert="python-writer",status="200"}' in metrics
    assert 'coe_route_decisions_total{category="python",expert="python-writer"}' in metrics
    assert 'coe_tokens_total{expert="python-writer",kind="completion"}' in metrics
    assert "coe_expert_ready{" in metrics


def test_a_repeated_greedy_question_comes_from_the_cache_when_asked(client: httpx.Client) -> None:
    first = ask(client, MATH, temperature=0, coe={"cache": "greedy"})
    second = ask(client, MATH, temperature=0, coe={"cache": "greedy"})
    plain = ask(client, MATH, temperature=0)

    assert first.headers["x-coe-cache"] == "miss"
    assert second.headers["x-coe-cache"] == "hit"
    assert second.json() == first.json()
    assert "x-coe-cache" not in plain.headers


def test_an_answer_is_scored_by_its_request_id(client: httpx.Client) -> None:
    reply = ask(client, CODE)
    scored = client.post("/v1/feedback", json={"request_id": reply.headers["x-request-id"], "score": 1})
    router = client.get("/v1/router").json()
    metrics = client.get("/metrics").text

    assert scored.json() == {
        "recorded": True,
        "counts_for_map": True,
        "expert": "python-writer",
        "category": "python",
    }
    assert "python" in router["categories"]
    assert router["drift"]["decisions"] > 0
    assert 'coe_feedback_total{expert="python-writer",result="recorded"} 1.0' in metrics
    assert 'coe_router_drift{kind="rejection"} 0.0' in metrics


def test_the_page_and_what_it_shows_come_through_the_proxy(client: httpx.Client) -> None:
    reply = ask(client, CODE)
    page = client.get("/ui", follow_redirects=True)
    script = client.get("/ui/app.js")
    time.sleep(0.5)  # decisions are written in the background
    (latest,) = client.get("/v1/decisions?limit=1").json()["decisions"]

    assert page.url.path == "/ui/"
    assert page.headers["content-security-policy"].startswith("default-src 'self'")
    assert client.get("/ui/app.js", headers={"if-none-match": script.headers["etag"]}).status_code == 304
    assert latest["request_id"] == reply.headers["x-request-id"]
    assert client.post("/v1/route", json={"prompt": CODE}).json()["chosen_by"] == "configuration"
