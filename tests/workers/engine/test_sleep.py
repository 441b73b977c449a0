"""Engines that give their device memory back and take it again, with a scripted engine in vLLM's place."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.workers.weights.checkpoint_files import write_checkpoint
from tests.workers.weights.scripted_weights import ScriptedWeights
from workers.engine.server import ENGINE_URL, engine_session
from workers.engine.sleep import EngineSleep
from workers.errors import EngineAwayError, SleepUnsupportedError, WeightsMismatchError
from workers.spec import Device
from workers.weights.slot import WeightSlot


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "base")


@pytest.fixture
async def engine(tmp_path: Path, base: Path) -> AsyncIterator[ScriptedWeights]:
    engine = ScriptedWeights(base)
    async with engine.serve(tmp_path / "e.sock"):
        yield engine


@pytest.fixture
async def slot(tmp_path: Path, base: Path, engine: ScriptedWeights) -> AsyncIterator[WeightSlot]:
    async with engine_session(tmp_path / "e.sock") as session:
        slot = WeightSlot(session, ENGINE_URL, served_name="m", base=base, cache_dir=tmp_path / "cache")
        await slot.open("base")
        engine.calls.clear()
        yield slot


def sleeper(slot: WeightSlot, device: Device = "gpu") -> EngineSleep:
    return EngineSleep(slot._control._session, ENGINE_URL, slot, device=device)


async def test_level_1_sleeps_when_requests_have_ended_and_wakes_verified_with_its_host_memory_given_back(
    engine: ScriptedWeights, slot: WeightSlot, base: Path
) -> None:
    engine_sleep = sleeper(slot)
    await engine_sleep.sleep(1)
    assert engine.calls == ["pause wait", "sleep 1 wait", "is_sleeping"]
    assert engine_sleep.asleep == 1
    engine.calls.clear()
    await engine_sleep.wake("base", base)
    assert engine.calls == ["wake", "resume", "woken", "reset", "complete"]
    assert engine_sleep.asleep is None
    assert slot.resident == "base"


async def test_level_2_loads_the_weights_before_the_cache_has_its_memory(
    engine: ScriptedWeights, slot: WeightSlot, base: Path
) -> None:
    engine_sleep = sleeper(slot)
    await engine_sleep.sleep(2)
    engine.calls.clear()
    await engine_sleep.wake("base", base)
    assert engine.calls == ["wake weights", "replace", "wake kv_cache", "resume", "reset", "complete"]
    assert slot.resident == "base"


async def test_weights_that_are_not_the_same_after_waking_are_noticed(
    engine: ScriptedWeights, slot: WeightSlot, base: Path
) -> None:
    engine_sleep = sleeper(slot)
    await engine_sleep.sleep(1)
    engine.mixed = True
    with pytest.raises(WeightsMismatchError, match="answer otherwise"):
        await engine_sleep.wake("base", base)
    assert slot.resident is None
    assert engine_sleep.asleep == 1


async def test_an_engine_that_wakes_in_part_is_noticed(engine: ScriptedWeights, slot: WeightSlot, base: Path) -> None:
    engine_sleep = sleeper(slot)
    await engine_sleep.sleep(1)
    engine.wakes_in_part = True
    with pytest.raises(WeightsMismatchError, match="only in part"):
        await engine_sleep.wake("base", base)
    assert slot.resident is None


async def test_an_engine_on_a_cpu_is_refused(slot: WeightSlot) -> None:
    with pytest.raises(SleepUnsupportedError, match="on a CPU cannot sleep: stop it"):
        sleeper(slot, "cpu")


async def test_an_engine_not_started_for_it_goes_on_answering(engine: ScriptedWeights, slot: WeightSlot) -> None:
    engine.can_sleep = False
    engine_sleep = sleeper(slot)
    with pytest.raises(SleepUnsupportedError, match="start it with `--enable-sleep-mode`"):
        await engine_sleep.sleep(1)
    assert engine.calls == ["pause wait", "sleep 1 wait", "resume"]
    assert engine_sleep.asleep is None


async def test_an_engine_that_dies_in_its_sleep_is_away(engine: ScriptedWeights, slot: WeightSlot, base: Path) -> None:
    engine_sleep = sleeper(slot)
    await engine_sleep.sleep(1)
    engine.dead = True
    with pytest.raises(EngineAwayError):
        await engine_sleep.wake("base", base)
