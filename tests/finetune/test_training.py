"""Training a tiny model for real: what is promised of seeds, interruptions, losses and the files left."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from coe.finetune.errors import (
    BaseModelError,
    CheckpointError,
    DeviceError,
    DivergedError,
    InterruptedTrainingError,
    SplitError,
)
from coe.finetune.result import Hooks, Progress, Trained
from coe.finetune.rows import ChatRow
from coe.finetune.settings import TrainingSettings
from coe.finetune.training import Base, finetune, split_rows
from coe.messages import Message

SETTINGS = TrainingSettings(
    rank=4, batch=4, accumulate=2, steps=12, checkpoint_steps=3, learning_rate=1e-2, device="cpu"
)


@pytest.fixture(scope="module")
def rows() -> list[ChatRow]:
    return [
        ChatRow((Message("user", f"{number} up"),), str(number + 1), Path("rows.jsonl"), number) for number in range(40)
    ]


@pytest.fixture(scope="module")
def base(tiny_base: Path) -> Base:
    return Base("path:tiny", tiny_base)


def quiet(stopped: Callable[[], bool] = lambda: False) -> Hooks:
    return Hooks(lambda _: None, stopped)


def after(step: int) -> Hooks:
    """Hooks that ask to stop after `step`; a run asks once a step."""
    asked = itertools.count(1)
    return quiet(lambda: next(asked) >= step)


def weights(folder: Path) -> bytes:
    return (folder / "adapter_model.safetensors").read_bytes()


def test_the_model_learns_and_leaves_an_adapter_with_a_card(base: Base, rows: list[ChatRow], tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    told: list[Progress] = []
    split = split_rows(rows, 0.1, seed=0)
    trained = finetune(base, split, SETTINGS, out, Hooks(told.append, lambda: False), restart=False)

    assert trained.heldout_losses[-1].value < trained.heldout_losses[0].value
    assert [loss.step for loss in trained.heldout_losses] == [0, 3, 6, 9, 12]
    assert [loss.step for loss in trained.losses] == list(range(1, 13))
    assert told[0] == Progress(0, 12, heldout_loss=trained.heldout_losses[0].value)
    assert told[-1].step == 12

    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["peft_type"], config["r"], config["base_model_name_or_path"]) == ("LORA", 4, "path:tiny")
    assert "q_proj" in config["target_modules"]
    assert sorted(entry.name for entry in out.iterdir()) == [
        "README.md",
        "adapter_config.json",
        "adapter_model.safetensors",
    ]
    head = yaml.safe_load((out / "README.md").read_text().split("---\n")[1])
    assert head["settings"]["seed"] == 0
    assert (head["rows"], head["heldout_rows"]) == (36, 4)


def test_peft_loads_the_adapter_and_answers_as_it_was_taught(base: Base, tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    row = ChatRow((Message("user", "word"),), "drow", Path("rows.jsonl"), 1)
    out = tmp_path / "adapter"
    settings = TrainingSettings(rank=8, batch=4, steps=60, learning_rate=2e-2, device="cpu", checkpoint_steps=60)
    finetune(base, split_rows([row] * 8, 0, seed=0), settings, out, quiet(), restart=False)

    tokenizer = AutoTokenizer.from_pretrained(base.folder)
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base.folder), out)
    chat = [{"role": "user", "content": "word"}]
    given = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    with torch.no_grad():
        said = model.generate(**given, max_new_tokens=5, do_sample=False, pad_token_id=0)
    assert tokenizer.decode(said[0, given["input_ids"].shape[1] :]).replace(" ", "") == "drow<|end|>"


def test_a_seed_gives_the_same_adapter_and_another_seed_another(
    base: Base, rows: list[ChatRow], tmp_path: Path
) -> None:
    split = split_rows(rows, 0.1, seed=0)
    for name, seed in (("first", 0), ("again", 0), ("other", 1)):
        settings = TrainingSettings(rank=4, batch=4, steps=4, seed=seed, device="cpu")
        finetune(base, split, settings, tmp_path / name, quiet(), restart=False)
    assert weights(tmp_path / "first") == weights(tmp_path / "again") != weights(tmp_path / "other")


@dataclass(frozen=True)
class Unbroken:
    trained: Trained
    weights: bytes


@pytest.fixture(scope="module")
def unbroken(base: Base, rows: list[ChatRow], tmp_path_factory: pytest.TempPathFactory) -> Unbroken:
    """A run that nobody interrupted."""
    out = tmp_path_factory.mktemp("unbroken")
    trained = finetune(base, split_rows(rows, 0.1, seed=0), SETTINGS, out, quiet(), restart=False)
    return Unbroken(trained, weights(out))


@pytest.mark.parametrize("stop_after", [1, 6, 7])
def test_an_interrupted_run_that_is_resumed_gives_the_same_adapter(
    stop_after: int, unbroken: Unbroken, base: Base, rows: list[ChatRow], tmp_path: Path
) -> None:
    split = split_rows(rows, 0.1, seed=0)
    with pytest.raises(InterruptedTrainingError, match=f"after step {stop_after} of 12"):
        finetune(base, split, SETTINGS, tmp_path, after(stop_after), restart=False)
    assert not (tmp_path / "adapter_model.safetensors").exists()

    resumed = finetune(base, split, SETTINGS, tmp_path, quiet(), restart=False)
    assert weights(tmp_path) == unbroken.weights
    assert resumed.losses == unbroken.trained.losses
    assert resumed.heldout_losses == unbroken.trained.heldout_losses
    assert not (tmp_path / "checkpoints").exists()


def test_a_run_killed_while_it_saved_goes_on_from_the_checkpoint_before(
    unbroken: Unbroken, base: Base, rows: list[ChatRow], tmp_path: Path
) -> None:
    split = split_rows(rows, 0.1, seed=0)
    with pytest.raises(InterruptedTrainingError):
        finetune(base, split, SETTINGS, tmp_path, after(7), restart=False)
    (tmp_path / "checkpoints" / "checkpoint-7" / "trainer_state.json").unlink()
    (tmp_path / "checkpoints" / "checkpoint-7" / "optimizer.pt").write_bytes(b"half")
    finetune(base, split, SETTINGS, tmp_path, quiet(), restart=False)
    assert weights(tmp_path) == unbroken.weights


def test_a_run_killed_while_it_wrote_the_adapter_goes_on(
    unbroken: Unbroken, base: Base, rows: list[ChatRow], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = split_rows(rows, 0.1, seed=0)

    def fail(part: Path, _: Path) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as full:
        full.setattr(Path, "replace", fail)
        with pytest.raises(CheckpointError, match="No space left"):
            finetune(base, split, SETTINGS, tmp_path, quiet(), restart=False)
    finetune(base, split, SETTINGS, tmp_path, quiet(), restart=False)
    assert weights(tmp_path) == unbroken.weights


def test_a_loss_that_is_no_number_ends_the_run(base: Base, rows: list[ChatRow], tmp_path: Path) -> None:
    settings = replace(SETTINGS, learning_rate=1e30)
    with pytest.raises(DivergedError, match="lower --lr"):
        finetune(base, split_rows(rows, 0, seed=0), settings, tmp_path, quiet(), restart=False)


def test_a_gpu_that_is_not_there_is_told(base: Base, rows: list[ChatRow], tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(DeviceError, match="no GPU"):
        finetune(base, split_rows(rows, 0, seed=0), replace(SETTINGS, device="gpu"), tmp_path, quiet(), restart=False)


def test_a_gpu_learns_as_well(base: Base, rows: list[ChatRow], tmp_path: Path) -> None:
    import torch

    if not torch.cuda.is_available():
        pytest.skip("needs a GPU")
    settings = replace(SETTINGS, device="gpu")
    trained = finetune(base, split_rows(rows, 0.1, seed=0), settings, tmp_path, quiet(), restart=False)
    assert trained.device == "gpu"
    assert trained.heldout_losses[-1].value < trained.heldout_losses[0].value


def test_other_data_does_not_go_on_from_a_runs_checkpoints(base: Base, rows: list[ChatRow], tmp_path: Path) -> None:
    with pytest.raises(InterruptedTrainingError):
        finetune(base, split_rows(rows, 0.1, seed=0), SETTINGS, tmp_path, after(1), restart=False)
    with pytest.raises(CheckpointError, match="data_sha256"):
        finetune(base, split_rows(rows[5:], 0.1, seed=0), SETTINGS, tmp_path, quiet(), restart=False)


def test_a_folder_with_other_files_is_refused(base: Base, rows: list[ChatRow], tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(CheckpointError, match=r"thesis\.tex"):
        finetune(base, split_rows(rows, 0, seed=0), SETTINGS, tmp_path, quiet(), restart=False)


def test_a_folder_that_is_no_language_model_is_refused(base: Base, rows: list[ChatRow], tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in base.folder.iterdir():
        if file.name != "model.safetensors":
            (broken / file.name).write_bytes(file.read_bytes())
    with pytest.raises(BaseModelError, match="no causal language model can be trained"):
        finetune(
            Base("path:b", broken), split_rows(rows, 0, seed=0), SETTINGS, tmp_path / "out", quiet(), restart=False
        )


def test_holding_out_needs_rows_to_be_left(rows: list[ChatRow]) -> None:
    with pytest.raises(SplitError, match="too few"):
        split_rows(rows[:1], 0.5, seed=0)
    split = split_rows(rows, 0.25, seed=3)
    assert len(split.heldout) == 10
    assert not {row.line for row in split.heldout} & {row.line for row in split.train}
