"""Weights of a scripted engine replaced: what is resident, what is refused, and what follows from each fault."""

import asyncio
from pathlib import Path

import pytest

from tests.workers.weights.checkpoint_files import HIDDEN, WEIGHTS, cut_off, poison, write_checkpoint
from tests.workers.weights.conftest import Family
from tests.workers.weights.scripted_weights import ScriptedWeights, records, spoil
from workers.errors import CheckpointRefusedError, EngineAwayError, EngineError, WeightsMismatchError


async def test_the_engine_answers_as_the_checkpoint_that_was_put_in(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    slot = await family.slot()
    assert slot.resident == "base"
    for name, folder in (("poet", family.poet), ("cook", family.cook), ("poet", family.poet), ("base", family.base)):
        done = await slot.replace(name, folder)
        assert (slot.resident, scripted_weights.resident, done.tier) == (name, folder, "disk")
        assert done.seconds >= done.check_s + done.load_s + done.verify_s > 0


async def test_a_fetched_checkpoint_comes_from_host_memory(family: Family, scripted_weights: ScriptedWeights) -> None:
    slot = await family.slot()
    size = await slot.fetch("poet", family.poet)
    assert await slot.held() == {"poet": size}
    assert (await slot.replace("poet", family.poet)).tier == "host"
    assert (await slot.replace("cook", family.cook)).tier == "disk"
    assert await slot.drop("poet") == size
    assert (await slot.replace("poet", family.poet)).tier == "disk"
    assert await slot.held() == {}
    assert await slot.drop("poet") == 0


async def test_host_memory_is_counted_over_all_workers_of_an_engine(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    scripted_weights.workers = 2
    slot = await family.slot()
    size = await slot.fetch("poet", family.poet)
    assert size == 2 * (family.poet / WEIGHTS).stat().st_size
    assert await slot.held() == {"poet": size}


async def test_a_host_copy_of_older_content_is_not_used(family: Family) -> None:
    slot = await family.slot()
    await slot.fetch("poet", family.poet)
    write_checkpoint(family.poet, seed=9)
    assert (await slot.replace("poet", family.poet)).tier == "disk"


async def test_tensors_that_are_resident_already_are_not_loaded_again(
    family: Family, scripted_weights: ScriptedWeights, tmp_path: Path
) -> None:
    near = write_checkpoint(tmp_path / "near")  # as the base, but for its last tensor
    poison(near, b"\x01\x00")
    slot = await family.slot()
    assert (await slot.replace("near", near)).unchanged_bytes == 0  # its first load: the fingerprint is of all of it
    for name, folder in (("base", family.base), ("near", near)):
        unchanged_bytes = (await slot.replace(name, folder)).unchanged_bytes
        assert set(scripted_weights.unchanged) == {f"model.layers.{number}.mlp.up_proj.weight" for number in range(2)}
        assert unchanged_bytes == 2 * 24 * HIDDEN * 2
    await slot.replace("poet", family.poet)
    await slot.replace("near", near)
    assert scripted_weights.unchanged == []


@pytest.mark.parametrize("fault", ["raises", "mixes", "nan", "busy"])
async def test_after_a_failure_nothing_is_taken_for_resident(
    family: Family, scripted_weights: ScriptedWeights, tmp_path: Path, fault: str
) -> None:
    same = write_checkpoint(tmp_path / "same")
    slot = await family.slot()
    await slot.replace("same", same)
    assert scripted_weights.unchanged
    scripted_weights.fault = fault
    with pytest.raises(WeightsMismatchError):
        await slot.replace("same", same)
    for name, folder, whole in (("base", family.base, True), ("same", same, False)):
        assert ((await slot.replace(name, folder)).unchanged_bytes == 0) == whole
    slot.forget()
    assert (await slot.replace("same", same)).unchanged_bytes == 0


async def test_a_host_copy_that_does_not_verify_is_followed_by_a_whole_load(
    family: Family, scripted_weights: ScriptedWeights, tmp_path: Path
) -> None:
    same = write_checkpoint(tmp_path / "same")
    slot = await family.slot()
    await slot.fetch("same", same)
    scripted_weights.fault = "host only"
    done = await slot.replace("same", same)
    assert (done.tier, done.unchanged_bytes) == ("disk", 0)


async def test_on_a_gpu_every_tensor_is_loaded(
    family: Family, scripted_weights: ScriptedWeights, tmp_path: Path
) -> None:
    scripted_weights.engine = "cuda scripted"
    slot = await family.slot()
    await slot.replace("same", write_checkpoint(tmp_path / "same"))
    assert scripted_weights.unchanged == []


async def test_what_was_cached_of_other_weights_is_forgotten_before_any_answer(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    slot = await family.slot()
    scripted_weights.calls.clear()
    await slot.replace("poet", family.poet)
    assert scripted_weights.calls == ["replace", "reset", "complete"]


async def test_what_a_multimodal_model_made_of_images_is_forgotten_too(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    for folder in (family.base, family.poet):
        write_checkpoint(folder, seed=7 if folder is family.base else 8, config={"vision_config": {"depth": 2}})
    slot = await family.slot()
    scripted_weights.calls.clear()
    await slot.replace("poet", family.poet)
    assert scripted_weights.calls == ["replace", "reset", "reset encoder", "complete"]


def damaged(folder: Path, how: str) -> Path:
    match how:
        case "is damaged":
            cut_off(write_checkpoint(folder, seed=5), 7)
        case "NaN":
            poison(write_checkpoint(folder, seed=5), b"\xc0\x7f")
        case "lacks":
            write_checkpoint(folder, seed=5, shapes={"model.norm.weight": None})
        case "architectures":
            write_checkpoint(folder, seed=5, config={"architectures": ["Other"]})
    return folder


@pytest.mark.parametrize("how", ["is damaged", "NaN", "lacks", "architectures", "no safetensors"])
async def test_a_refused_checkpoint_does_not_get_near_the_engine(
    family: Family, scripted_weights: ScriptedWeights, tmp_path: Path, how: str
) -> None:
    slot = await family.slot()
    await slot.replace("poet", family.poet)
    scripted_weights.calls.clear()
    bad = damaged(tmp_path / "bad", how)
    for attempt in (slot.check(bad), slot.fetch("bad", bad), slot.replace("bad", bad)):
        with pytest.raises(CheckpointRefusedError, match=f"the checkpoint in `{bad}` is refused: .*{how}"):
            await attempt
    assert scripted_weights.calls == []
    assert slot.resident == "poet"


async def test_a_checkpoint_that_is_damaged_after_it_was_accepted_is_refused(family: Family) -> None:
    slot = await family.slot()
    assert await slot.check(family.poet) < (family.poet / WEIGHTS).stat().st_size
    cut_off(family.poet, 7)
    with pytest.raises(CheckpointRefusedError, match="damaged or incomplete"):
        await slot.replace("poet", family.poet)


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("keeps old", "still answers as before"),
        ("raises", "the weights were not replaced .*Call to replace failed"),
        ("nan", "no numbers"),
        ("busy", "requests ran while"),
        ("writes", "written to while it was loaded"),
    ],
)
async def test_a_first_load_that_went_wrong_is_noticed(
    family: Family, scripted_weights: ScriptedWeights, fault: str, told: str
) -> None:
    slot = await family.slot()
    scripted_weights.fault = fault
    with pytest.raises(WeightsMismatchError, match=told):
        await slot.replace("poet", family.poet)
    assert slot.resident is None
    assert len(records(family.cache)) == 1  # of the base: nothing is learnt from a failure


@pytest.mark.parametrize("fault", ["keeps old", "mixes"])
async def test_a_later_load_must_answer_as_the_first_did_also_in_another_engine(
    family: Family, scripted_weights: ScriptedWeights, fault: str
) -> None:
    first = await family.slot()
    await first.replace("poet", family.poet)
    await first.replace("base", family.base)
    slot = await family.slot()
    scripted_weights.fault = fault
    with pytest.raises(WeightsMismatchError, match="answer otherwise than when they were first loaded"):
        await slot.replace("poet", family.poet)
    assert slot.resident is None
    await slot.replace("poet", family.poet)  # the fault has passed
    assert slot.resident == "poet"


async def test_the_same_bits_are_asked_for(family: Family) -> None:
    slot = await family.slot()
    await slot.replace("poet", family.poet)
    await slot.replace("base", family.base)
    for record in records(family.cache):
        spoil(record)
    with pytest.raises(WeightsMismatchError, match=r"by .*e-.* nats: .*delete"):
        await family.slot()


async def test_an_engine_that_started_with_other_weights_than_it_should_is_noticed(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    await family.slot()
    scripted_weights.resident = family.cook
    with pytest.raises(WeightsMismatchError):
        await family.slot()


async def test_a_model_that_would_keep_old_weights_in_some_layers_is_refused(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    scripted_weights.keeps = ["UnquantizedFusedMoEMethod of `layers.0.mlp.experts`"]
    with pytest.raises(CheckpointRefusedError, match=r"cannot be replaced in place .*layers\.0.* engine of its own"):
        await family.slot()


async def test_the_same_weights_in_another_folder_answer_the_same(family: Family, tmp_path: Path) -> None:
    slot = await family.slot()
    await slot.replace("copy", write_checkpoint(tmp_path / "copy"))
    assert slot.resident == "copy"


async def test_a_host_copy_that_does_not_verify_is_given_back_and_disk_is_asked(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    slot = await family.slot()
    await slot.replace("poet", family.poet)
    await slot.replace("base", family.base)
    await slot.fetch("poet", family.poet)
    scripted_weights.fault = "host only"
    assert (await slot.replace("poet", family.poet)).tier == "disk"
    assert slot.resident == "poet"
    assert await slot.held() == {}


async def test_an_engine_that_dies_in_the_middle_is_away(family: Family, scripted_weights: ScriptedWeights) -> None:
    slot = await family.slot()
    scripted_weights.fault = "dies"
    with pytest.raises(EngineAwayError, match="ended while it was asked"):
        await slot.replace("poet", family.poet)
    assert slot.resident is None
    for attempt in (slot.fetch("poet", family.poet), slot.drop("poet"), slot.held()):
        with pytest.raises(EngineAwayError):
            await attempt


async def test_an_engine_that_does_not_answer_in_time_is_away(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    slot = await family.slot()
    scripted_weights.fault = "hangs"
    with pytest.raises(EngineAwayError, match="does not answer `/collective_rpc` within"):
        await slot.replace("poet", family.poet)
    assert slot.resident is None


async def test_after_a_cancellation_nothing_is_resident_until_the_next_replacement(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    slot = await family.slot()
    scripted_weights.fault = "hangs"
    task = asyncio.create_task(slot.replace("poet", family.poet))
    await scripted_weights.asked_for("replace")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slot.resident is None
    await slot.replace("cook", family.cook)
    assert slot.resident == "cook"


async def test_a_fetch_that_is_cancelled_holds_nothing(family: Family, scripted_weights: ScriptedWeights) -> None:
    slot = await family.slot()
    task = asyncio.create_task(slot.fetch("poet", family.poet))
    await scripted_weights.asked_for("fetched")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await slot.held() == {}


async def test_a_checkpoint_that_has_no_room_is_refused_and_the_engine_goes_on(
    family: Family, scripted_weights: ScriptedWeights
) -> None:
    slot = await family.slot()
    scripted_weights.refuse_fetch = "9 bytes of host memory cannot be had"
    with pytest.raises(CheckpointRefusedError, match=r"cannot be had.*free some"):
        await slot.fetch("poet", family.poet)
    assert await slot.held() == {}
    assert (await slot.replace("poet", family.poet)).tier == "disk"


async def test_a_fetch_that_takes_too_long_ends_and_holds_nothing(
    family: Family, scripted_weights: ScriptedWeights, monkeypatch: pytest.MonkeyPatch
) -> None:
    slot = await family.slot()
    monkeypatch.setattr("workers.weights.slot._POLL_S", 1.0)
    with pytest.raises(EngineAwayError, match="is not in memory after"):
        await slot.fetch("poet", family.poet)
    assert await slot.held() == {}


async def test_an_engine_without_the_extension_says_so(family: Family, scripted_weights: ScriptedWeights) -> None:
    slot = await family.slot()
    scripted_weights.workers = 0
    with pytest.raises(EngineError, match="from `coe_weights_held`"):
        await slot.held()
