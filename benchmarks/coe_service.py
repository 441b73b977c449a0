"""The service as it ships (configs/local.yaml: its experts, their prompts, the default router), also over the stub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import yaml

from benchmarks.programs import Program
from benchmarks.stub_upstream import MODEL

_SHIPPED = Path(__file__).parents[1] / "configs" / "local.yaml"
_MAX_RUNNING = 256  # the stub is to be the only limit


def shipped(config: Path, port: int, **sections: Any) -> Program:
    """`coe serve` on `port` with the embedded model and what `sections` add to the configuration. Writes `config`."""
    return _serve(config, _settings(port) | sections, port)


def coe(config: Path, port: int, upstream_port: int) -> Program:
    """`coe serve` on `port` in front of the server on `upstream_port`. Writes `config`."""
    settings = _settings(port)
    for expert in settings["experts"].values():
        expert.pop("adapter", None)  # the stub has none
    model = {"url": f"http://127.0.0.1:{upstream_port}", "served_name": MODEL}
    settings["models"] = dict.fromkeys(settings["models"], model)
    for group in settings["workers"].values():
        group["max_running"] = _MAX_RUNNING
    return _serve(config, settings, port)


def _settings(port: int) -> dict[str, Any]:
    settings: dict[str, Any] = yaml.safe_load(_SHIPPED.read_text(encoding="utf-8"))
    settings["server"]["port"] = port
    settings["router"]["path"] = str(_SHIPPED.parent / settings["router"]["path"])
    for expert in settings["experts"].values():
        if "adapter" in expert:
            expert["adapter"] = f"path:{_SHIPPED.parent / expert['adapter'].removeprefix('path:')}"
    return settings


def _serve(config: Path, settings: dict[str, Any], port: int) -> Program:
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    return Program(
        name="coe",
        command=[sys.executable, "-m", "coe.cli.main", "serve", str(config)],
        ready_url=f"http://127.0.0.1:{port}/ready",
        stop_s=60.0,
    )
