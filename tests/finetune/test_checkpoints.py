import json
from pathlib import Path

import pytest

from coe.finetune.checkpoints import Checkpoints
from coe.finetune.errors import CheckpointError


def leave_checkpoint(folder: Path, step: int, state: str | None = None) -> Path:
    checkpoint = folder / f"checkpoint-{step}"
    checkpoint.mkdir(parents=True)
    (checkpoint / "trainer_state.json").write_text(json.dumps({"global_step": step}) if state is None else state)
    return checkpoint


def test_a_run_goes_on_from_its_newest_checkpoint(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, {"seed": 0})
    assert checkpoints.open(restart=False) is None
    leave_checkpoint(tmp_path, 9)
    newest = leave_checkpoint(tmp_path, 10)
    assert checkpoints.open(restart=False) == newest


@pytest.mark.parametrize("state", ["", '{"global_st', '{"global_step": 3}', "[]"])
def test_a_half_written_checkpoint_is_passed_over(state: str, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, {"seed": 0})
    checkpoints.open(restart=False)
    whole = leave_checkpoint(tmp_path, 10)
    leave_checkpoint(tmp_path, 20, state)
    (tmp_path / "checkpoint-30").mkdir()
    assert checkpoints.open(restart=False) == whole


def test_another_runs_checkpoints_are_not_touched(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"seed": 0, "rows": 5}).open(restart=False)
    leave_checkpoint(tmp_path, 10)
    other = Checkpoints(tmp_path, {"seed": 1, "rows": 5})
    with pytest.raises(CheckpointError, match=r"another seed \(0, now 1\): .*--restart"):
        other.open(restart=False)
    assert other.open(restart=True) is None
    assert not (tmp_path / "checkpoint-10").exists()


def test_a_start_that_failed_before_its_first_checkpoint_binds_nobody(tmp_path: Path) -> None:
    Checkpoints(tmp_path, {"seed": 0}).open(restart=False)
    assert Checkpoints(tmp_path, {"seed": 1}).open(restart=False) is None


def test_checkpoints_that_nobody_knows_are_dropped(tmp_path: Path) -> None:
    leave_checkpoint(tmp_path, 10)
    assert Checkpoints(tmp_path, {"seed": 0}).open(restart=False) is None
    assert not (tmp_path / "checkpoint-10").exists()
