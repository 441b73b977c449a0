"""Adapters that come and go while a worker serves, on scripted engines."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.workers.adapter_files import tear, write_adapter, write_base
from workers.engine import hosted_engine
from workers.engine.server import ENGINE_URL
from workers.errors import AdapterRefusedError, EngineAwayError, NotUnloadableError, UnknownExpertError
from workers.reports import ExpertReport
from workers.spec import ExpertSpec, ModelSpec
from workers.worker import ExpertWorker

StartWorker = Callable[..., Awaitable[ExpertWorker]]
Start = Callable[..., Awaitable[ExpertWorker]]


@pytest.fixture
def start(start_worker: StartWorker, tmp_path: Path) -> Start:
    """Starts a worker with `plain` and, from `tmp_path / NAME`, the adapters named; `load` is when they are loaded."""

    async def start(*names: str, load: str = "request", **settings: int) -> ExpertWorker:
        base = write_base(tmp_path / "base")
        model = ModelSpec(name="base", source=f"path:{base}", **({"max_lora_rank": 8} | settings))  # type: ignore[arg-type]  # mypy takes each for every field
        experts = [ExpertSpec(name="plain", model="base")]
        for name in names:
            source = f"path:{tmp_path / name}"
            experts.append(ExpertSpec(name=name, model="base", adapter=source, load=load))  # type: ignore[arg-type]  # a str
        worker = await start_worker(models=(model,), experts=tuple(experts))
        await worker.wait_ready(15)
        return worker

    return start


def report(worker: ExpertWorker, expert: str) -> ExpertReport:
    return next(found for found in worker.report().experts if found.name == expert)


def chat(client: aiohttp.ClientSession, worker: ExpertWorker, script: str, model: str, **fields: Any) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": script}]} | fields
    return client.post(f"{worker.url}/v1/chat/completions", json=body)


async def asked_for(client: aiohttp.ClientSession, worker: ExpertWorker, expert: str) -> str:
    """The name that the engine was asked for, in a request to the expert."""
    async with chat(client, worker, "echo", expert) as response:
        answer = await response.json()
    assert (response.status, answer["model"]) == (200, expert)
    return str(json.loads(answer["choices"][0]["message"]["content"])["model"])


async def refused_with(client: aiohttp.ClientSession, worker: ExpertWorker, expert: str) -> tuple[str, str]:
    async with chat(client, worker, "hello", expert) as response:
        assert response.status == 503
        error = (await response.json())["error"]
    return error["code"], error["message"]


async def in_engine(worker: ExpertWorker) -> dict[str, Any]:
    async with worker._hosts[0].session.get(f"{ENGINE_URL}/counts") as response:
        counts: dict[str, Any] = await response.json()
        return counts


async def eventually(condition: Callable[[], Awaitable[bool]], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not await condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_an_expert_on_request_waits_for_its_load(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    worker = await start("poet")  # its adapter does not exist yet
    assert report(worker, "poet").state == "unloaded"
    code, told = await refused_with(client, worker, "poet")
    assert code == "expert_unloaded"
    assert "`coe load poet`" in told

    write_adapter(tmp_path / "poet")
    pid = worker.report().engines[0].pid
    done = await worker.load("poet")
    assert (done.expert, done.worker_id, done.state, done.changed) == ("poet", "w", "ready", True)
    assert 0 < done.seconds < 5
    assert await asked_for(client, worker, "poet") == "poet@1"
    assert worker.report().engines[0].pid == pid
    assert not (await worker.load("poet")).changed
    assert (await in_engine(worker))["loads"] == 1


async def test_a_pinned_adapter_is_loaded_and_stays_until_it_is_unpinned(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "poet")
    worker = await start("poet")
    done = await worker.pin("poet")
    assert (done.state, done.changed) == ("ready", True)
    assert not (await worker.pin("poet")).changed
    assert await asked_for(client, worker, "poet") == "poet@1"
    assert (report(worker, "poet").pinned, report(worker, "plain").pinned) == (True, False)
    with pytest.raises(NotUnloadableError, match="coe unpin poet"):
        await worker.unload("poet")
    assert await asked_for(client, worker, "poet") == "poet@1"
    assert (await worker.unpin("poet")).changed
    assert not (await worker.unpin("poet")).changed
    assert (await worker.unload("poet")).state == "unloaded"


async def test_where_adapters_take_turns_in_slots_the_engine_is_told_which_are_pinned(
    start: Start, tmp_path: Path
) -> None:
    for name in ("poet", "cook"):
        write_adapter(tmp_path / name)
    worker = await start("poet", "cook", max_loras=1)
    for name in ("poet", "cook"):
        await worker.pin(name)
    assert (await in_engine(worker))["pinned"] == ["poet@1", "cook@1"]
    write_adapter(tmp_path / "poet", seed=5)
    await worker.load("poet")  # a new version
    await worker.unpin("cook")
    assert (await in_engine(worker))["pinned"] == ["poet@2"]
    pid = worker.report().engines[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    async def started_again() -> bool:
        return worker.report().engines[0].restarts == 1 and report(worker, "poet").state == "ready"

    await eventually(started_again)
    assert (await in_engine(worker))["pinned"] == ["poet@1"]


async def test_an_adapter_that_cannot_be_loaded_is_not_pinned(start: Start, tmp_path: Path) -> None:
    write_adapter(tmp_path / "poet", rank=16)
    worker = await start("poet")
    with pytest.raises(AdapterRefusedError):
        await worker.pin("poet")
    assert not report(worker, "poet").pinned


@pytest.mark.parametrize("wrong", ["rank", "base", "torn", "engine"])
async def test_a_bad_adapter_is_refused_and_the_others_go_on(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path, wrong: str
) -> None:
    write_adapter(tmp_path / "good")
    match wrong:
        case "rank":
            write_adapter(tmp_path / "bad", rank=16)
        case "base":
            write_adapter(tmp_path / "bad", size=(64, 64))
        case "torn":
            write_adapter(tmp_path / "bad")
            tear(tmp_path / "bad")
        case _:
            write_adapter(tmp_path / "bad", config={"scripted": "refuse"})
    worker = await start("good", "bad", load="start")
    found = report(worker, "bad")
    assert found.state == "failed"
    assert f"the adapter in `{tmp_path / 'bad'}` is refused" in (found.error or "")
    assert (await refused_with(client, worker, "bad"))[0] == "expert_unavailable"
    with pytest.raises(AdapterRefusedError, match="is refused"):
        await worker.load("bad")
    assert await asked_for(client, worker, "good") == "good@1"

    write_adapter(tmp_path / "bad")  # mended
    assert (await worker.load("bad")).state == "ready"
    assert report(worker, "bad").error is None
    assert (await asked_for(client, worker, "bad")).startswith("bad@")
    assert worker.report().engines[0].restarts == 0


async def test_a_new_version_takes_over_and_running_streams_end_on_the_old(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "poet", seed=1)
    worker = await start("poet", load="start")
    before = report(worker, "poet").adapter
    async with chat(client, worker, "slow:20", "poet", stream=True) as running:
        await running.content.readany()
        write_adapter(tmp_path / "poet", seed=2)
        assert (await worker.load("poet")).changed
        assert await asked_for(client, worker, "poet") == "poet@2"
        assert sorted((await in_engine(worker))["adapters"]) == ["poet@1", "poet@2"]
        rest = (await running.read()).decode()
    assert rest.endswith("data: [DONE]\n\n")
    assert "error" not in rest
    assert report(worker, "poet").adapter not in {None, before}

    async def old_is_gone() -> bool:
        kept = [folder.name for folder in (tmp_path / "run").glob("*.adapters/*")]
        return bool((await in_engine(worker))["adapters"] == ["poet@2"] and kept == ["poet-2"])

    await eventually(old_is_gone)


async def test_a_refused_new_version_leaves_the_old_one_serving(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "poet")
    worker = await start("poet", load="start")
    tear(tmp_path / "poet")
    with pytest.raises(AdapterRefusedError):
        await worker.load("poet")
    assert report(worker, "poet").state == "ready"
    assert await asked_for(client, worker, "poet") == "poet@1"


async def test_what_an_engine_reads_is_a_copy_that_nobody_changes(start: Start, tmp_path: Path) -> None:
    write_adapter(tmp_path / "poet")
    worker = await start("poet", load="start")
    original = (tmp_path / "poet" / "adapter_model.safetensors").read_bytes()
    tear(tmp_path / "poet")
    (copy,) = (tmp_path / "run").glob("*.adapters/poet-1/adapter_model.safetensors")
    assert copy.read_bytes() == original
    await worker.stop()
    assert not list((tmp_path / "run").glob("*.adapters"))


async def test_unloading_ends_requests_in_peace_and_refuses_new_ones(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "poet")
    worker = await start("poet", load="start")
    async with chat(client, worker, "slow:10", "poet", stream=True) as running:
        await running.content.readany()
        done = await worker.unload("poet")
        assert (done.state, done.changed) == ("unloaded", True)
        assert (await refused_with(client, worker, "poet"))[0] == "expert_unloaded"
        assert (await in_engine(worker))["adapters"] == ["poet@1"]
        assert (await running.read()).endswith(b"data: [DONE]\n\n")

    async def gone() -> bool:
        return not (await in_engine(worker))["adapters"]

    await eventually(gone)
    assert not (await worker.unload("poet")).changed
    assert (await worker.load("poet")).changed
    assert await asked_for(client, worker, "poet") == "poet@2"


async def test_a_request_that_waited_while_its_expert_was_unloaded_is_told(
    start_worker: StartWorker, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "poet")
    base = write_base(tmp_path / "base")
    worker = await start_worker(
        models=(ModelSpec(name="base", source=f"path:{base}"),),
        experts=(ExpertSpec(name="poet", model="base", adapter=f"path:{tmp_path / 'poet'}"),),
        max_running=1,
    )
    await worker.wait_ready(15)
    async with chat(client, worker, "slow:10", "poet", stream=True) as running:
        await running.content.readany()
        waiting = asyncio.create_task(refused_with(client, worker, "poet"))

        async def queued() -> bool:
            return report(worker, "poet").waiting == 1

        await eventually(queued)
        await worker.unload("poet")
        await running.read()
    assert (await waiting)[0] == "expert_unloaded"


async def test_a_hundred_loads_at_once_are_one(start: Start, tmp_path: Path) -> None:
    write_adapter(tmp_path / "poet", config={"scripted": "slow"})
    worker = await start("poet")
    loads = [asyncio.create_task(worker.load("poet")) for _ in range(100)]
    await asyncio.sleep(0.1)
    assert report(worker, "poet").state == "loading"
    loads[0].cancel()  # who leaves does not stop it for the others
    done = await asyncio.gather(*loads[1:])
    assert {outcome.state for outcome in done} == {"ready"}
    assert (await in_engine(worker))["loads"] == 1


async def test_loads_and_unloads_of_one_expert_come_one_after_another(start: Start, tmp_path: Path) -> None:
    write_adapter(tmp_path / "poet", config={"scripted": "slow"})
    worker = await start("poet")
    loading = asyncio.create_task(worker.load("poet"))
    await asyncio.sleep(0.05)
    assert (await worker.unload("poet")).changed
    assert (await loading).changed
    assert report(worker, "poet").state == "unloaded"


async def test_an_engine_that_dies_while_it_loads_is_told_of_and_comes_back(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "poet", config={"scripted": "die"})
    worker = await start("poet")
    with pytest.raises(EngineAwayError, match="the engine ended"):
        await asyncio.wait_for(worker.load("poet"), 10)

    async def back() -> bool:
        return worker.report().engines[0].restarts == 1 and report(worker, "plain").state == "ready"

    await eventually(back)
    assert report(worker, "poet").state == "unloaded"
    write_adapter(tmp_path / "poet")
    assert (await worker.load("poet")).state == "ready"


async def test_an_adapter_that_ends_the_engine_at_every_start_is_left_out(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    write_adapter(tmp_path / "good")
    write_adapter(tmp_path / "bad", config={"scripted": "die"})
    worker = await start("good", "bad", load="start")
    assert worker.report().engines[0].restarts == 2
    assert report(worker, "good").state == "ready"
    assert "the engine ended 2 times while it loaded" in (report(worker, "bad").error or "")
    write_adapter(tmp_path / "bad")
    assert (await worker.load("bad")).state == "ready"


async def test_a_load_has_an_end(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosted_engine, "_LOAD_DEADLINE_S", 0.1)
    write_adapter(tmp_path / "poet", config={"scripted": "slow"})
    worker = await start("poet")
    with pytest.raises(EngineAwayError, match="was not loaded within"):
        await worker.load("poet")
    assert report(worker, "poet").state == "unloaded"


async def test_after_a_crash_everything_that_was_loaded_is_loaded_again(
    start: Start, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    for name in ("poet", "judge", "clerk"):
        write_adapter(tmp_path / name)
    worker = await start("poet", "judge", "clerk")
    await worker.load("poet")
    await worker.load("judge")
    await worker.unload("judge")
    pid = worker.report().engines[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)

    async def back() -> bool:
        return worker.report().engines[0].restarts == 1 and report(worker, "plain").state == "ready"

    await eventually(back)
    states = {name: report(worker, name).state for name in ("poet", "judge", "clerk")}
    assert states == {"poet": "ready", "judge": "unloaded", "clerk": "unloaded"}
    assert await asked_for(client, worker, "poet") == "poet@1"


async def test_only_adapters_are_unloaded(start: Start, tmp_path: Path) -> None:
    worker = await start("poet")
    with pytest.raises(NotUnloadableError, match="`plain` has no adapter"):
        await worker.unload("plain")
    assert (await worker.load("plain")).state == "ready"
    for change in (worker.load, worker.unload):
        with pytest.raises(UnknownExpertError, match="no expert `nobody`"):
            await change("nobody")


async def test_a_worker_that_stops_loads_nothing_more(start: Start, tmp_path: Path) -> None:
    write_adapter(tmp_path / "poet", config={"scripted": "slow"})
    worker = await start("poet")
    loading = asyncio.create_task(worker.load("poet"))
    await asyncio.sleep(0.05)
    await worker.stop()
    with pytest.raises(EngineAwayError):
        await loading
    with pytest.raises(EngineAwayError, match="is being stopped"):
        await worker.load("poet")
