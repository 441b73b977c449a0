"""A whole worker on scripted engines that can be killed."""

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.workers.adapter_files import tear, write_adapter
from workers.report_json import report_from_json
from workers.reports import WorkerReport
from workers.spec import ExpertSpec, ModelSpec
from workers.worker import ExpertWorker, NotReadyError

StartWorker = Callable[..., Awaitable[ExpertWorker]]


async def chat(
    client: aiohttp.ClientSession, worker: ExpertWorker, script: str, model: str = "poet", **fields: Any
) -> tuple[int, dict[str, Any]]:
    body = {"model": model, "messages": [{"role": "user", "content": script}]} | fields
    async with client.post(f"{worker.url}/v1/chat/completions", json=body) as response:
        return response.status, await response.json()


def state(worker: ExpertWorker, expert: str = "poet") -> str:
    return next(report.state for report in worker.report().experts if report.name == expert)


async def eventually(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_it_listens_at_once_and_answers_when_the_engine_does(
    start_worker: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start_worker()
    status, answer = await chat(client, worker, "hello")
    assert (status, answer["error"]["code"]) == (503, "expert_loading")
    report = await worker.wait_ready(10)
    assert (report.experts[0].state, report.experts[0].tier, report.engines[0].state) == ("ready", "device", "ready")
    status, answer = await chat(client, worker, "hello")
    assert (status, answer["model"]) == (200, "poet")
    async with client.get(f"{worker.url}/report") as response:
        assert report_from_json(await response.read()).worker_id == "w"


async def test_experts_on_one_model_share_its_engine_and_keep_their_prompts(
    start_worker: StartWorker, client: aiohttp.ClientSession
) -> None:
    experts = tuple(ExpertSpec(name=name, model="base", system=f"Be a {name}.") for name in ("poet", "judge"))
    worker = await start_worker(experts=experts)
    assert len((await worker.wait_ready(10)).engines) == 1
    for name in ("poet", "judge"):
        _, answer = await chat(client, worker, "echo", name)
        asked = json.loads(answer["choices"][0]["message"]["content"])
        assert answer["model"] == name
        assert (asked["model"], asked["messages"][0]["content"]) == ("base", f"Be a {name}.")


async def test_what_is_broken_fails_alone(
    start_worker: StartWorker, client: aiohttp.ClientSession, tmp_path: Path, model_dir: Path
) -> None:
    good = write_adapter(tmp_path / "good")
    refused = write_adapter(tmp_path / "refused", config={"scripted": "refuse"})
    torn = write_adapter(tmp_path / "torn")
    tear(tmp_path / "torn")
    worker = await start_worker(
        models=(ModelSpec(name="base", source=f"path:{model_dir}"), ModelSpec(name="gone", source="path:/nowhere")),
        experts=(
            ExpertSpec(name="poet", model="base"),
            ExpertSpec(name="tuned", model="base", adapter=good),
            ExpertSpec(name="refused", model="base", adapter=refused),
            ExpertSpec(name="torn", model="base", adapter=torn),
            ExpertSpec(name="missing", model="base", adapter="path:/nowhere"),
            ExpertSpec(name="lost", model="gone"),
        ),
    )
    report = await worker.wait_ready(10)
    states = {expert.name: expert.state for expert in report.experts}
    failed = dict.fromkeys(("refused", "torn", "missing", "lost"), "failed")
    assert states == {"poet": "ready", "tuned": "ready"} | failed
    _, answer = await chat(client, worker, "echo", "tuned")
    assert json.loads(answer["choices"][0]["message"]["content"])["model"] == "tuned@1"
    assert answer["model"] == "tuned"
    status, answer = await chat(client, worker, "hello", "lost")
    assert (status, answer["error"]["code"]) == (503, "expert_unavailable")
    assert "there is no folder `/nowhere`" in answer["error"]["message"]


async def test_an_engine_that_dies_mid_stream_is_told_of_and_comes_back(
    start_worker: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start_worker()
    await worker.wait_ready(10)
    body = {"model": "poet", "messages": [{"role": "user", "content": "die:3"}], "stream": True}
    async with client.post(f"{worker.url}/v1/chat/completions", json=body) as response:
        events = (await response.read()).decode().strip().split("\n\n")
    assert response.status == 200
    assert [json.loads(event[6:]).get("model") for event in events[:-1]] == ["poet"] * 3
    assert json.loads(events[-1][6:])["error"]["code"] == "engine_died"
    await eventually(lambda: worker.report().engines[0].restarts == 1 and state(worker) == "ready")
    assert (await chat(client, worker, "hello"))[0] == 200


async def test_an_engine_that_dies_before_it_answers_is_a_503(
    start_worker: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start_worker()
    await worker.wait_ready(10)
    status, answer = await chat(client, worker, "die")
    assert (status, answer["error"]["code"]) == (503, "engine_died")


async def test_an_engine_that_does_not_start_fails_its_experts_and_is_tried_on(
    start_worker: StartWorker, client: aiohttp.ClientSession, tmp_path: Path, model_dir: Path
) -> None:
    options = ("--fail-starts", "4", "--state", str(tmp_path / "starts"))
    worker = await start_worker(models=(ModelSpec(name="base", source=f"path:{model_dir}", extra_args=options),))
    await eventually(lambda: state(worker) == "failed")
    _, answer = await chat(client, worker, "hello")
    assert "ValueError: scripted failure" in answer["error"]["message"]
    await eventually(lambda: state(worker) == "ready")


async def test_an_attached_server_is_used_and_left_running(
    start_worker: StartWorker, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    first = await start_worker()
    await first.wait_ready(10)
    model = ModelSpec(name="remote", url=f"{first.url}/v1", served_name="poet")
    second = await start_worker("w2", models=(model,), experts=(ExpertSpec(name="far", model="remote"),))
    report = await second.wait_ready(10)
    assert report.engines[0].pid is None
    status, answer = await chat(client, second, "hello", "far")
    assert (status, answer["model"]) == (200, "far")
    await second.stop()
    assert (await chat(client, first, "hello"))[0] == 200


async def test_an_attached_server_that_is_not_there_keeps_its_experts_loading(start_worker: StartWorker) -> None:
    model = ModelSpec(name="remote", url="http://127.0.0.1:1")
    worker = await start_worker(models=(model,), experts=(ExpertSpec(name="far", model="remote"),))
    with pytest.raises(NotReadyError, match=r"`far` \(no OpenAI server answers"):
        await worker.wait_ready(0.1)


async def test_stopping_lets_requests_finish_and_refuses_new_ones(
    start_worker: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start_worker(drain_timeout_s=20)
    await worker.wait_ready(10)
    pid = worker.report().engines[0].pid
    assert pid is not None
    family = psutil.Process(pid).children(recursive=True)
    running = asyncio.create_task(chat(client, worker, "slow:10"))
    await eventually(lambda: worker.report().experts[0].running == 1)
    stopping = asyncio.create_task(worker.stop())
    await eventually(lambda: state(worker) == "draining")
    assert (await chat(client, worker, "hello"))[1]["error"]["code"] == "draining"
    assert (await running)[0] == 200
    await stopping
    assert not any(process.is_running() for process in family)


async def test_a_drain_has_an_end(start_worker: StartWorker, client: aiohttp.ClientSession) -> None:
    worker = await start_worker(drain_timeout_s=0.2)
    await worker.wait_ready(10)
    hanging = asyncio.create_task(chat(client, worker, "hang"))
    await eventually(lambda: worker.report().experts[0].running == 1)
    await asyncio.wait_for(worker.stop(), 10)
    await asyncio.wait((hanging,))
    assert isinstance(hanging.exception(), aiohttp.ClientError)


async def test_every_change_is_reported_one_at_a_time_and_failures_do_not_matter(start_worker: StartWorker) -> None:
    reports: list[WorkerReport] = []
    inside = 0

    async def on_report(report: WorkerReport) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        await asyncio.sleep(0.05)
        inside -= 1
        reports.append(report)
        raise RuntimeError("the store is down")

    worker = await start_worker(on_report=on_report)
    await worker.wait_ready(10)
    await eventually(lambda: [report.experts[0].state for report in reports][-1:] == ["ready"])
    pid = worker.report().engines[0].pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: [report.engines[0].restarts for report in reports][-1:] == [1])


async def test_a_restarted_workers_reports_are_newer(start_worker: StartWorker) -> None:
    first = await start_worker()
    await first.stop()
    second = await start_worker()
    assert second.report().epoch > first.report().epoch
