"""A worker whose models take turns: families that share an engine, and budgets that not all engines fit in."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from tests.workers.weights.checkpoint_files import WEIGHTS, cut_off, poison, write_checkpoint
from tests.workers.weights.scripted_weights import records, spoil
from workers.engine.server import ENGINE_URL
from workers.errors import CheckpointRefusedError, NotUnloadableError
from workers.report_json import report_from_json, report_to_json
from workers.reports import EngineReport, ExpertReport, WorkerReport
from workers.spec import ExpertSpec, MemorySpec, ModelSpec
from workers.worker import ExpertWorker

StartWorker = Callable[..., Awaitable[ExpertWorker]]
GIB = 2**30


@pytest.fixture
def start(start_worker: StartWorker, tmp_path: Path) -> StartWorker:
    """Starts a worker on a family of experts, each with a checkpoint of its own, named as it is."""

    async def start(*names: str, loners: tuple[str, ...] = (), **settings: Any) -> ExpertWorker:
        idle_s = settings.pop("idle_s", None)
        models = []
        for seed, name in enumerate((*names, *loners)):
            folder = tmp_path / name
            if not folder.exists():
                write_checkpoint(folder, seed=seed)
            family = "small" if name in names else None
            source = f"path:{folder}"
            models.append(ModelSpec(name=name, source=source, family=family, device_bytes=GIB, idle_s=idle_s))
        experts = tuple(ExpertSpec(name=name, model=name) for name in (*names, *loners))
        worker = await start_worker(models=tuple(models), experts=experts, **settings)
        await worker.wait_ready(20)
        return worker

    return start


async def ask(client: aiohttp.ClientSession, worker: ExpertWorker, expert: str, script: str = "who") -> tuple[int, Any]:
    body = {"model": expert, "messages": [{"role": "user", "content": script}]}
    async with client.post(f"{worker.url}/v1/chat/completions", json=body) as response:
        return response.status, await response.json()


async def who(client: aiohttp.ClientSession, worker: ExpertWorker, expert: str) -> str:
    """The folder whose weights answer as the expert."""
    status, answer = await ask(client, worker, expert)
    assert (status, answer.get("model")) == (200, expert), answer
    return str(answer["choices"][0]["message"]["content"])


async def fails(client: aiohttp.ClientSession, worker: ExpertWorker, expert: str) -> tuple[str, str]:
    status, answer = await ask(client, worker, expert)
    assert status == 503, answer
    return answer["error"]["code"], answer["error"]["message"]


async def next_load(worker: ExpertWorker, fault: str) -> None:
    async with worker._hosts[0].session.post(f"{ENGINE_URL}/fault/{fault}") as response:
        assert response.status == 200


def expert(worker: ExpertWorker, name: str) -> ExpertReport:
    return next(found for found in worker.report().experts if found.name == name)


def engine(worker: ExpertWorker, name: str) -> EngineReport:
    return next(found for found in worker.report().engines if found.model == name)


def tiers(worker: ExpertWorker) -> dict[str, str]:
    return {found.name: found.tier for found in worker.report().experts}


def started_again(worker: ExpertWorker) -> bool:
    found = engine(worker, "small")
    return (found.restarts, found.state) == (1, "ready")


async def eventually(condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.01)


async def test_a_member_that_is_announced_is_there_when_it_is_asked(
    start: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start("poet", "cook", "judge")
    announced = {"model": "cook", "probability": 0.9}
    async with client.post(f"{worker.url}/expected", json=announced) as response:
        assert response.status == 204
    await eventually(lambda: tiers(worker)["cook"] == "device")
    body = {"model": "cook", "messages": [{"role": "user", "content": "who"}]}
    async with client.post(f"{worker.url}/v1/chat/completions", json=body) as response:
        assert (await response.json())["choices"][0]["message"]["content"] == "cook"
        assert response.headers["x-coe-tier"] == "device"
    assert len(worker.report().swaps) == 1


async def test_members_of_a_family_take_turns_in_one_engine(start: StartWorker, client: aiohttp.ClientSession) -> None:
    worker = await start("poet", "cook", "judge")
    pid = engine(worker, "small").pid
    assert tiers(worker) == {"poet": "device", "cook": "disk", "judge": "disk"}
    for name in ("poet", "cook", "judge", "poet"):
        assert await who(client, worker, name) == name
    assert engine(worker, "small").pid == pid
    assert [(swap.model, swap.evicted) for swap in worker.report().swaps] == [
        ("cook", ("poet",)),
        ("judge", ("cook",)),
        ("poet", ("judge",)),
    ]


async def test_requests_for_different_experts_at_once_are_answered_by_their_own(
    start: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start("poet", "cook", "judge")
    names = ["poet", "cook", "judge", "cook", "poet", "judge"] * 4
    assert await asyncio.gather(*(who(client, worker, name) for name in names)) == names
    assert len(worker.report().swaps) < len(names)


async def test_an_answer_is_never_cut_off_by_a_swap(start: StartWorker, client: aiohttp.ClientSession) -> None:
    worker = await start("poet", "cook")
    slow = asyncio.create_task(ask(client, worker, "poet", "slow:10"))
    await eventually(lambda: expert(worker, "poet").running == 1)
    assert await who(client, worker, "cook") == "cook"
    status, answer = await slow
    assert (status, answer["model"]) == (200, "poet")


async def test_copies_in_host_memory_stay_within_their_budget(
    start: StartWorker, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    size = (write_checkpoint(tmp_path / "poet") / WEIGHTS).stat().st_size
    worker = await start("poet", "cook", "judge", memory=MemorySpec(host_bytes=int(2.5 * size)))
    for name in ("cook", "judge", "poet", "cook"):
        assert await who(client, worker, name) == name
        residency = worker._residency
        assert residency is not None
        assert len(residency.memory.host) <= 2
    assert "host" in {swap.tier for swap in worker.report().swaps}


@pytest.mark.parametrize("wrong", ["cut off", "not a number", "another architecture", "missing"])
async def test_a_bad_checkpoint_is_refused_and_the_resident_goes_on(
    start: StartWorker, client: aiohttp.ClientSession, tmp_path: Path, wrong: str
) -> None:
    folder = tmp_path / "cook"
    config = {"architectures": ["OtherForCausalLM"]} if wrong == "another architecture" else None
    write_checkpoint(folder, seed=7, config=config)
    match wrong:
        case "cut off":
            cut_off(folder, 64)
        case "not a number":
            poison(folder, b"\xc0\x7f")
        case "missing":
            folder.rename(tmp_path / "moved")
            folder.mkdir()
    worker = await start("poet", "cook")
    code, message = await fails(client, worker, "cook")
    assert code == "expert_unavailable"
    assert str(folder) in message
    assert expert(worker, "cook").state == "failed"
    assert await who(client, worker, "poet") == "poet"
    assert engine(worker, "small").restarts == 0

    write_checkpoint(folder, seed=7)
    assert (await worker.load("cook")).changed
    assert await who(client, worker, "cook") == "cook"


async def test_loading_a_bad_checkpoint_by_hand_names_the_reason(start: StartWorker, tmp_path: Path) -> None:
    cut_off(write_checkpoint(tmp_path / "cook", seed=7), 64)
    worker = await start("poet", "cook")
    with pytest.raises(CheckpointRefusedError, match="is refused"):
        await worker.load("cook")


@pytest.mark.parametrize("fault", ["exits", "mixes", "raises", "keeps old", "nan", "busy"])
async def test_a_swap_that_goes_wrong_lets_nobody_answer_wrongly_and_heals(
    start: StartWorker, client: aiohttp.ClientSession, fault: str
) -> None:
    worker = await start("poet", "cook")
    for name in ("cook", "poet"):  # what they answer is known from now on
        await who(client, worker, name)
    await next_load(worker, fault)
    await fails(client, worker, "cook")
    await eventually(lambda: started_again(worker))
    assert worker.report().swaps[-1].error
    for name in ("poet", "cook"):
        await worker.load(name)  # else a failed one would have to wait until it may be tried again
        assert await who(client, worker, name) == name


async def test_an_engine_killed_in_the_middle_of_a_swap_comes_back_with_what_was_verified_last(
    start: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start("poet", "cook", "judge")
    assert await who(client, worker, "cook") == "cook"
    await next_load(worker, "hangs")
    waiting = [asyncio.create_task(ask(client, worker, name)) for name in ("judge", "judge", "poet")]
    await eventually(lambda: expert(worker, "judge").waiting == 2)
    await asyncio.sleep(0.2)
    pid = engine(worker, "small").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    for status, answer in await asyncio.gather(*waiting):
        assert status == 503, answer
        assert answer["error"]["message"]
    await eventually(lambda: engine(worker, "small").state == "ready")
    assert tiers(worker)["cook"] == "device"
    for name in ("judge", "poet", "cook"):
        assert await who(client, worker, name) == name


async def test_weights_that_do_not_answer_as_at_first_answer_nobody(
    start: StartWorker, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    first = await start("poet", "cook")
    before = set(records(tmp_path / "cache"))
    assert await who(client, first, "cook") == "cook"
    [written] = set(records(tmp_path / "cache")) - before
    await first.stop()
    spoil(written)
    worker = await start("poet", "cook")
    _, message = await fails(client, worker, "cook")
    assert "answer otherwise than when they were first loaded" in message
    await eventually(lambda: started_again(worker))
    assert await who(client, worker, "poet") == "poet"


async def test_a_disk_that_takes_nothing_more_costs_no_answer(
    start: StartWorker, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "cache").touch()  # a file where the folder should be: every write fails, as on a full disk
    worker = await start("poet", "cook")
    for name in ("cook", "poet", "cook"):
        assert await who(client, worker, name) == name


@asynccontextmanager
async def watched(worker: ExpertWorker, most: int) -> AsyncIterator[None]:
    """Fails where more than `most` engines ever run at once."""
    seen: list[int] = []

    async def watch() -> None:
        while True:
            seen.append(sum(found.pid is not None for found in worker.report().engines))
            await asyncio.sleep(0.005)

    task = asyncio.create_task(watch())
    try:
        yield
    finally:
        task.cancel()
    assert max(seen) <= most


async def test_engines_that_do_not_fit_together_make_room_for_each_other(
    start: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start("poet", "cook", loners=("sage",), memory=MemorySpec(device_bytes=GIB, preload=("cook",)))
    assert tiers(worker) == {"poet": "disk", "cook": "device", "sage": "disk"}
    assert engine(worker, "sage").state == "parked"
    async with watched(worker, most=1):
        for name in ("sage", "poet", "cook", "sage"):
            status, answer = await ask(client, worker, name, "hello")
            assert (status, answer["model"]) == (200, name)
            assert [found for found, tier in tiers(worker).items() if tier == "device"] == [name]
    assert engine(worker, "small").state == "parked"


@pytest.mark.parametrize(("device", "level"), [("cpu", None), ("gpu", 1), ("gpu", 2)])
async def test_host_memory_makes_no_request_wait_or_fail(
    start: StartWorker, client: aiohttp.ClientSession, device: Any, level: Any
) -> None:
    memory = MemorySpec(device_bytes=GIB, host_bytes=3 * GIB, sleep=level, max_wait_s=2000.0)
    worker = await start("poet", "cook", loners=("sage", "oracle"), memory=memory, device=device)
    async with asyncio.timeout(100):  # a fraction of what the policy may hold a request back to save a load
        for name in ("cook", "sage", "poet", "oracle", "cook", "sage"):
            status, answer = await ask(client, worker, name, "hello")
            assert (status, answer.get("model")) == (200, name), answer


@pytest.mark.parametrize("level", [1, 2])
async def test_engines_on_a_gpu_sleep_to_make_room(
    start: StartWorker, client: aiohttp.ClientSession, level: Any
) -> None:
    memory = MemorySpec(device_bytes=GIB, host_bytes=2 * GIB, sleep=level)
    worker = await start(loners=("sage", "oracle"), memory=memory, device="gpu")
    pids: dict[str, int | None] = {}
    for name, other in (("oracle", "sage"), ("sage", "oracle"), ("oracle", "sage")):
        assert await who(client, worker, name) == name
        assert engine(worker, other).state in {"asleep", "parked"}
        assert tiers(worker) == {name: "device", other: "host" if level == 1 else "disk"}
        pids.setdefault(name, engine(worker, name).pid)
        assert engine(worker, name).pid == pids[name]
    assert engine(worker, "sage").state == "asleep"


async def test_an_engine_that_wakes_to_be_another_answers_nobody_as_the_one_that_slept(
    start: StartWorker, client: aiohttp.ClientSession
) -> None:
    memory = MemorySpec(device_bytes=GIB, host_bytes=2 * GIB, sleep=2)
    worker = await start("poet", "cook", loners=("sage",), memory=memory, device="gpu")
    await who(client, worker, "sage")
    assert engine(worker, "small").state == "asleep"
    residency = worker._residency
    assert residency is not None
    waking = asyncio.create_task(who(client, worker, "cook"))
    while not waking.done():
        worker._engine_changed()  # as at any time another engine of the worker may
        assert not residency.admits("poet")
        await asyncio.sleep(0)
    assert await waking == "cook"


async def test_an_engine_that_dies_in_its_sleep_takes_no_room(
    start: StartWorker, client: aiohttp.ClientSession
) -> None:
    memory = MemorySpec(device_bytes=GIB, host_bytes=2 * GIB, sleep=1)
    worker = await start(loners=("sage", "oracle"), memory=memory, device="gpu")
    await who(client, worker, "oracle")
    pid = engine(worker, "sage").pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await eventually(lambda: engine(worker, "sage").state == "parked")
    assert tiers(worker) == {"sage": "disk", "oracle": "device"}
    assert await who(client, worker, "sage") == "sage"


async def test_what_is_pinned_stays_and_others_are_told_the_remedy(
    start: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start("poet", "cook")
    assert (await worker.pin("cook")).changed
    assert not (await worker.pin("cook")).changed
    assert expert(worker, "cook").pinned
    code, message = await fails(client, worker, "poet")
    assert (code, "unpin" in message) == ("expert_unavailable", True)
    with pytest.raises(NotUnloadableError, match="coe unpin cook"):
        await worker.unload("cook")
    assert (await worker.unpin("cook")).changed
    assert await who(client, worker, "poet") == "poet"


async def test_what_is_unloaded_gives_its_memory_back_until_it_is_asked_for(
    start: StartWorker, client: aiohttp.ClientSession
) -> None:
    worker = await start("poet", "cook")
    pid = engine(worker, "small").pid
    assert pid is not None
    process = psutil.Process(pid)
    assert (await worker.unload("poet")).changed
    assert not process.is_running()
    assert engine(worker, "small").state == "parked"
    assert await who(client, worker, "cook") == "cook"


async def test_an_unused_model_leaves_after_its_time(start: StartWorker) -> None:
    worker = await start("poet", "cook", idle_s=0.5)
    unload_in_s = expert(worker, "poet").unload_in_s
    assert unload_in_s is not None
    assert unload_in_s <= 0.5
    await eventually(lambda: engine(worker, "small").state == "parked")


async def test_every_swap_is_reported_when_it_is_done(start: StartWorker) -> None:
    reports: list[WorkerReport] = []

    async def on_report(report: WorkerReport) -> None:
        reports.append(report)

    worker = await start("poet", "cook", on_report=on_report)
    await worker.load("cook")
    await eventually(lambda: any(report.swaps for report in reports))
    [swap] = report_from_json(report_to_json(reports[-1])).swaps
    assert (swap.number, swap.model, swap.evicted, swap.error) == (1, "cook", ("poet",), None)
