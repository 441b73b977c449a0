"""What a container does before `coe` runs: the token of its cluster."""

import os
import subprocess
from pathlib import Path

import pytest

ENTRYPOINT = Path(__file__).parents[2] / "deploy" / "docker" / "entrypoint"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a `coe` that prints its arguments and the token."""
    scripted_coe = tmp_path / "coe"
    scripted_coe.write_text('#!/bin/sh\necho "$@" "$(cat "${RAY_AUTH_TOKEN_PATH:-/dev/null}")"\n')
    scripted_coe.chmod(0o700)
    return tmp_path


def start(folder: Path, **variables: str) -> subprocess.Popen[str]:
    environment = {"PATH": f"{folder}:{os.environ['PATH']}", **variables}
    return subprocess.Popen([ENTRYPOINT, "join", "head"], env=environment, stdout=subprocess.PIPE, text=True)


def said(process: subprocess.Popen[str]) -> str:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return out.strip()


def test_containers_that_start_together_share_one_token(folder: Path) -> None:
    shared = folder / "cluster"
    shared.mkdir()
    token = shared / "token"
    together = [start(folder, RAY_AUTH_TOKEN_PATH=str(token)) for _ in range(8)]
    assert {said(process) for process in together} == {f"join head {token.read_text()}"}
    assert len(token.read_text()) == 64
    assert token.stat().st_mode & 0o777 == 0o600
    assert list(shared.iterdir()) == [token]


def test_a_token_that_is_there_stays(folder: Path) -> None:
    token = folder / "token"
    token.write_text("of the first start")
    assert said(start(folder, RAY_AUTH_TOKEN_PATH=str(token))) == "join head of the first start"


def test_without_a_place_for_it_there_is_no_token(folder: Path) -> None:
    assert said(start(folder)) == "join head"
    assert [path.name for path in folder.iterdir()] == ["coe"]
