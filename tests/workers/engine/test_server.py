"""Engine processes, with a scripted engine in vLLM's place."""

import asyncio
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from workers.adapters.loading import LoraRoom
from workers.engine.diagnosis import start_failure
from workers.engine.server import ENGINE_URL, Engine, Launch, engine_command, engine_environment, engine_session
from workers.errors import EngineStartError
from workers.spec import Device, ModelSpec

Command = Callable[[Launch], list[str]]


def launch(tmp_path: Path, *options: str, device: Device = "cpu") -> Launch:
    model = ModelSpec(name="base", source="path:m", extra_args=options, start_timeout_s=15)
    return Launch(model=model, device=device, model_dir=tmp_path, socket=tmp_path / "e.sock")


def test_the_command_says_what_the_model_says(tmp_path: Path) -> None:
    model = ModelSpec(
        name="base",
        source="path:m",
        served_name="smol",
        dtype="bfloat16",
        max_model_len=2048,
        max_num_seqs=4,
        tensor_parallel=2,
        gpu_memory_utilization=0.5,
        extra_args=("--seed", "1"),
    )
    gpu = Launch(model=model, device="gpu", model_dir=tmp_path, socket=tmp_path / "s", lora=LoraRoom(2, 16, 2))
    command = engine_command(gpu)
    text = " ".join(command)
    for part in (
        f"--model {tmp_path} --served-model-name smol --uds {tmp_path}/s --dtype bfloat16",
        "--max-model-len 2048",
        "--max-num-seqs 4",
        "--tensor-parallel-size 2",
        "--gpu-memory-utilization 0.5",
        "--enable-lora --max-loras 2 --max-cpu-loras 3 --max-lora-rank 16",
    ):
        assert part in text
    assert command[-2:] == ["--seed", "1"]
    assert "--enforce-eager" not in command
    assert "--worker-extension-cls" not in command


def test_adapters_that_take_turns_in_slots_can_be_pinned_in_the_engine(tmp_path: Path) -> None:
    plain = launch(tmp_path)
    contended = replace(plain, lora=LoraRoom(adapters=3, max_rank=16, slots=2))
    text = " ".join(engine_command(contended))
    assert "--max-loras 2 --max-cpu-loras 4" in text
    assert "--worker-extension-cls workers.engine.extension.EngineExtension" in text
    added = engine_environment(contended, {}).items() - engine_environment(plain, {}).items()
    assert {name for name, _ in added} == {
        "PYTHONPATH",
        "VLLM_SERVER_DEV_MODE",
        "VLLM_ALLOW_RUNTIME_LORA_UPDATING",
    }


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_weights_can_be_replaced_in_an_engine_started_for_it(tmp_path: Path, device: Device) -> None:
    plain = launch(tmp_path, "--seed", "1", device=device)
    replaceable = replace(plain, replaceable=True)
    command = engine_command(replaceable)
    option = ["--worker-extension-cls", "workers.engine.extension.EngineExtension"]
    assert command == [*engine_command(plain)[:-2], *option, "--seed", "1"]
    environment = engine_environment(replaceable, {"PYTHONPATH": "/mine"})
    added = environment.items() - engine_environment(plain, {"PYTHONPATH": "/mine"}).items()
    root, mine = environment["PYTHONPATH"].split(":")
    assert (Path(root) / "workers" / "engine" / "extension.py").is_file()
    assert mine == "/mine"
    assert {name for name, _ in added} - {"TORCH_COMPILE_DISABLE"} == {"VLLM_SERVER_DEV_MODE", "PYTHONPATH"}


def test_a_model_without_adapters_on_a_cpu_reserves_nothing_for_them(tmp_path: Path) -> None:
    command = engine_command(launch(tmp_path))
    assert "--enable-lora" not in command
    assert "--gpu-memory-utilization" not in command
    assert "--enforce-eager" in command


def test_the_environment_keeps_the_engine_off_the_network_and_the_models_own_wins(tmp_path: Path) -> None:
    model = ModelSpec(name="m", source="path:m", kv_cache_gb=3, env=(("HF_HUB_OFFLINE", "0"), ("MINE", "1")))
    cpu = Launch(model=model, device="cpu", model_dir=tmp_path, socket=tmp_path / "s")
    environment = engine_environment(cpu, {"PATH": "/bin", "VLLM_NO_USAGE_STATS": "0"})
    assert environment["VLLM_CPU_KVCACHE_SPACE"] == "3"
    assert environment["VLLM_NO_USAGE_STATS"] == "1"
    assert environment["HF_HUB_OFFLINE"] == "0"
    assert (environment["MINE"], environment["PATH"]) == ("1", "/bin")
    assert "VLLM_ALLOW_RUNTIME_LORA_UPDATING" not in environment


@pytest.mark.parametrize(
    ("line", "remedy"),
    [
        ("RuntimeError: CUDA out of memory. Tried to allocate", "lower `max_num_seqs`"),
        ("OSError: [Errno 98] Address already in use", "choose another `run_dir`"),
        ("api_server.py: error: unrecognized arguments: --speed", "`extra_args`"),
        ("/usr/bin/python: No module named vllm", "pip install 'coe"),
        ("ValueError: User-specified max_model_len (9999) is greater than the derived", "lower `max_model_len`"),
        ("(Worker pid=7) ERROR 11-22 18:00:00 [x.py:1] ValueError: odd", "ValueError: odd; see its log lines"),
    ],
)
def test_a_known_cause_brings_its_remedy(line: str, remedy: str) -> None:
    assert remedy in start_failure("m", ["INFO starts", line], status=1, after_s=2)


def test_an_engine_killed_without_a_word_was_mostly_too_large() -> None:
    assert "ran out of memory" in start_failure("m", [], status=137, after_s=2)


@pytest.fixture
async def engine(tmp_path: Path, scripted_command: Command) -> AsyncIterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(*options: str) -> Engine:
        made.append(Engine(launch(tmp_path, *options), command=scripted_command, grace_s=1))
        return made[-1]

    yield make
    for each in made:
        await each.stop()


async def test_it_serves_between_start_and_stop(
    engine: Callable[..., Engine], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "coe.engine")
    one = engine()
    await one.start()
    assert one.pid is not None
    family = psutil.Process(one.pid).children(recursive=True)
    async with engine_session(tmp_path / "e.sock") as session, session.get(f"{ENGINE_URL}/health") as response:
        assert response.status == 200
    await one.stop()
    assert one.pid is None
    assert not any(process.is_running() for process in family)
    assert not (tmp_path / "e.sock").exists()
    record = next(record for record in caplog.records if "scripted engine starts" in record.message)
    assert (record.levelname, record.__dict__["model"]) == ("INFO", "base")
    await one.stop()


async def test_an_engine_that_ends_at_its_start_says_why(engine: Callable[..., Engine], tmp_path: Path) -> None:
    one = engine("--fail-starts", "9", "--state", str(tmp_path / "n"), "--say", "RuntimeError: out of memory")
    with pytest.raises(EngineStartError, match=r"RuntimeError: out of memory; memory is short") as caught:
        await one.start()
    assert caught.value.log_lines[-1] == "RuntimeError: out of memory"
    assert one.pid is None


async def test_an_engine_that_hangs_at_its_start_is_ended_at_the_deadline(
    tmp_path: Path, scripted_command: Command
) -> None:
    model = ModelSpec(name="base", source="path:m", extra_args=("--hang-at-start",), start_timeout_s=0.8)
    hanging = Launch(model=model, device="cpu", model_dir=tmp_path, socket=tmp_path / "e.sock")
    one = Engine(hanging, command=scripted_command, grace_s=1)
    with pytest.raises(EngineStartError, match="not healthy after 1 s; raise the model's `start_timeout_s`"):
        await one.start()
    assert one.pid is None


async def test_a_start_that_is_cancelled_leaves_no_process(engine: Callable[..., Engine]) -> None:
    one = engine("--hang-at-start")
    task = asyncio.create_task(one.start())
    while one.pid is None:  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)
    process = psutil.Process(one.pid)
    task.cancel()
    await asyncio.wait((task,))
    assert not process.is_running()


@pytest.mark.parametrize("victim", ["reaper", "engine"])
async def test_waiting_ends_when_the_engine_is_killed(engine: Callable[..., Engine], victim: str) -> None:
    one = engine()
    await one.start()
    assert one.pid is not None
    family = psutil.Process(one.pid).children(recursive=True)
    os.kill(one.pid if victim == "reaper" else family[0].pid, signal.SIGKILL)
    assert "while it was serving" in await asyncio.wait_for(one.wait(), 10)
    await one.stop()
    assert all(gone(process) for process in family)


async def test_a_socket_path_that_is_too_long_is_named(tmp_path: Path) -> None:
    model = ModelSpec(name="base", source="path:m")
    deep = Launch(model=model, device="cpu", model_dir=tmp_path, socket=tmp_path / ("x" * 120))
    with pytest.raises(EngineStartError, match="choose a shorter `run_dir`"):
        await Engine(deep).start()


async def test_a_command_that_is_not_there_is_named(tmp_path: Path) -> None:
    one = Engine(launch(tmp_path), command=lambda _: [f"{sys.prefix}/no-such-engine"])
    with pytest.raises(EngineStartError, match="ended with status 127"):
        await one.start()


def gone(process: psutil.Process) -> bool:
    deadline = time.monotonic() + 5
    with suppress(psutil.NoSuchProcess):
        while process.status() != psutil.STATUS_ZOMBIE:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.02)
    return True
