"""LiteLLM's proxy as its documentation runs it in production, in an environment of its own: installed once, reused.

Settings are those of docs.litellm.ai/docs/proxy/prod: one worker, logs for errors only, production mode, a request
timeout, a master key (it refuses to start without one); no database, no callbacks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from benchmarks.programs import Program, ProgramError, say
from benchmarks.stub_upstream import MODEL
from coe.runtime import cache_directory

VERSION = "1.106.2"
"""Later ones ask for a certifi that not every registry has yet; `--litellm-version` takes another."""
_MARK = ".complete"


def install(version: str) -> Path:
    """The folder of an environment that holds `litellm[proxy]` of this version, made where it is not there yet.

    Raises:
        ProgramError: it cannot be installed.
    """
    folder = cache_directory() / "benchmarks" / f"litellm-{version}"
    if (folder / _MARK).exists():
        return folder
    say(f"installing litellm[proxy]=={version} into {folder}, once (about a minute, 750 MB)")
    shutil.rmtree(folder, ignore_errors=True)
    python = str(folder / "bin" / "python")
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [python, "-m", "pip", "install", "--quiet", "--progress-bar", "on", f"litellm[proxy]=={version}"],
    ):
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode:
            raise ProgramError(f"litellm {version} cannot be installed; try another --litellm-version")
    (folder / _MARK).touch()
    return folder


def litellm(folder: Path, config: Path, port: int, upstream_port: int, key: str) -> Program:
    """The proxy on `port` in front of the server on `upstream_port`; clients show `key`. Writes `config`."""
    upstream = {"model": f"openai/{MODEL}", "api_base": f"http://127.0.0.1:{upstream_port}/v1", "api_key": "none"}
    settings = {
        "model_list": [{"model_name": MODEL, "litellm_params": upstream}],
        "general_settings": {"master_key": key},
        "litellm_settings": {"request_timeout": 600, "set_verbose": False, "json_logs": True},
    }
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    address = ["--host", "127.0.0.1", "--port", str(port)]
    return Program(
        name="litellm",
        command=[str(folder / "bin" / "litellm"), "--config", str(config), *address, "--num_workers", "1"],
        ready_url=f"http://127.0.0.1:{port}/health/liveliness",
        variables={"LITELLM_MODE": "PRODUCTION", "LITELLM_LOG": "ERROR", "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
    )
