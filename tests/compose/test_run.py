"""The compose test where there is no Docker engine."""

from pathlib import Path

import pytest

from tests.compose import run
from tests.compose.project import ComposeTestError, wait_until


def test_without_docker_it_is_skipped_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert run.main() == 0
    assert capsys.readouterr() == ("", f"skipped: there is no `docker` command; {run.NEEDED}.\n")


@pytest.mark.parametrize(
    ("answered", "reason"),
    [("compose", "this Docker has no `docker compose`"), ("info", "no Docker engine answers")],
)
def test_without_compose_or_an_engine_it_is_skipped_too(
    answered: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scripted_docker = tmp_path / "docker"
    scripted_docker.write_text(f'#!/bin/sh\ntest "$1" != {answered}\n')
    scripted_docker.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")  # before any other docker
    assert run.main() == 0
    assert reason in capsys.readouterr().err


def test_what_does_not_come_in_time_is_named() -> None:
    with pytest.raises(ComposeTestError, match="not within 0 s: the worker is healthy"):
        wait_until(lambda: False, "the worker is healthy", 0)
