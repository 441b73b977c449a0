"""`coe train-expert` as a person runs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from tests.cli.commands import run

WriteRows = Callable[..., Path]
ROWS = [{"prompt": f"{number} up", "completion": str(number + 1)} for number in range(24)]


def arguments(base: Path, data: Path, out: Path, *more: str) -> list[str]:
    options = ["--rank", "4", "--batch", "4", "--device", "cpu", "--checkpoint-steps", "5"]
    return ["train-expert", "--base", f"path:{base}", "--data", str(data), "--out", str(out), *options, *more]


def test_rows_become_an_adapter(tiny_base: Path, write_rows: WriteRows, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    done = run(*arguments(tiny_base, write_rows(*ROWS), out, "--steps", "10", "--heldout-share", "0.1"))
    assert done.code == 0, done.err
    assert done.out.startswith(f"{out}: 10 steps, loss ")
    assert "22 rows to learn from, 2 held out" in done.err
    assert "step 5 of 10: " in done.err  # where nobody sees a bar
    assert json.loads((out / "adapter_config.json").read_text())["r"] == 4


def test_bad_rows_are_named_before_anything_is_loaded(write_rows: WriteRows, tmp_path: Path) -> None:
    data = write_rows(ROWS[0], {"prompt": "no completion"})
    refused = run(*arguments(tmp_path / "nowhere", data, tmp_path / "adapter"))
    assert refused.code == 2
    assert f"{data}:2: " in refused.err


def test_a_base_that_is_not_there_is_bad_input(write_rows: WriteRows, tmp_path: Path) -> None:
    refused = run(*arguments(tmp_path / "nowhere", write_rows(*ROWS), tmp_path / "adapter"))
    assert refused.code == 2
    assert "there is no folder" in refused.err


def start(command: list[str]) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)


def test_ctrl_c_saves_and_the_same_command_goes_on(tiny_base: Path, write_rows: WriteRows, tmp_path: Path) -> None:
    out = tmp_path / "adapter"
    given = arguments(tiny_base, write_rows(*ROWS), out, "--steps", "2000", "--lr", "1e-4")
    command = [sys.executable, "-m", "coe.cli.main", *given]
    with start(command) as training:
        assert training.stderr is not None
        for line in training.stderr:
            if line.startswith("step 5 of 2000"):
                break
        training.send_signal(signal.SIGINT)
        rest = training.stderr.read()
        assert training.wait(60) == 130
    assert "finishing this step" in rest
    assert "run the same command again to go on" in rest

    with start(command) as resumed:
        assert resumed.stderr is not None
        first = next(line for line in resumed.stderr if line.startswith("step "))
        resumed.kill()
    assert not first.startswith("step 0 ")
    assert not (out / "adapter_model.safetensors").exists()
