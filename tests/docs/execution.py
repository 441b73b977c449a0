"""How documented commands are run: where each one is, and in what folder.

A command that no table here names is run by `tests/docs/test_commands.py`, as it stands, in a folder that holds the
files of which the pages speak. What needs a running service is run by `tests/service/test_documented_commands.py`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal

from tests.docs.pages import REPOSITORY
from tests.docs.shell import Command

How = Literal["alone", "service", "left out"]
TIMEOUT_S = 600  # the first training of a machine distils an encoder, a minute and more

LEFT_OUT: Mapping[str, str] = {
    "make serve": "runs until Ctrl-C; the tests of the service start `coe serve` on the same configuration",
    "make test": "is this suite",
    "make bench-": "measures for minutes; tests/benchmarks cover the code",
    "coe serve": "runs until Ctrl-C; tests/service start it, with a cluster too",
    "coe join": "runs until Ctrl-C; tests/service join two nodes",
    "ray get-auth-token": "writes the token of the person who runs it; Ray's own command",
    "docker ": "needs a Docker engine; `make compose-test` runs the compose file where there is one",
    "kubectl ": "needs a cluster; tests render the manifests and check them",
    "promtool ": "comes with Prometheus; tests/deploy run it where it is installed",
    "redis-cli": "asks a Redis of the reader's own; tests/store/test_drift_baselines.py holds the key's form",
}
"""Beginnings of commands that no test runs, with the reason."""
_SETTINGS = re.compile(r"^([A-Z_]+=\S+ )*")

WITH_SERVICE = frozenset({"curl", "coe chat", "coe feedback", "coe load", "coe pin", "coe ps", "coe select-experts"})
"""Beginnings of commands that ask a running service."""

ENDS_WITH: Mapping[str, tuple[int, str]] = {
    "sed -i 's/device_gb: 80/device_gb: 72/' node.yaml": (2, "error: `72b` fits no worker that it may be on"),
}
"""Beginnings of commands that the page says are refused, with exit code and the beginning of what they print."""


def beginning(text: str, of: Iterable[str]) -> str | None:
    """Which of the beginnings the command has, after the variables that are set for it."""
    plain = _SETTINGS.sub("", text).removeprefix(".venv/bin/")
    return next((start for start in of if plain.startswith(start)), None)


def how(command: Command) -> How:
    if beginning(command.text, LEFT_OUT):
        return "left out"
    return "service" if beginning(command.text, WITH_SERVICE) else "alone"


def prepare_folder(folder: Path) -> None:
    """What a clone has after `make venv`, as far as documented commands touch it."""
    shutil.copytree(REPOSITORY / "configs", folder / "configs")
    (folder / "tmp").mkdir()
    script = folder / ".venv" / "bin" / "coe"
    script.parent.mkdir(parents=True)
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m coe.cli.main "$@"\n')
    script.chmod(0o755)


def assert_runs(command: Command, folder: Path, values: Mapping[str, str], **environment: str) -> str:
    """Run the command in bash; `values` stand for what the page leaves to the reader. Returns standard output."""
    text = command.text
    for name, value in ({"/tmp/": f"{folder}/tmp/"} | dict(values)).items():
        text = text.replace(name, value)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY), "COLUMNS": "200", "TERM": "dumb"} | environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    said = f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    refused = beginning(text, ENDS_WITH)
    code, words = ENDS_WITH[refused] if refused else (0, "")
    assert done.returncode == code, said
    assert words in done.stderr, said
    return done.stdout
