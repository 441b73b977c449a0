"""What a measurement ran on: facts that a reader needs to compare it with another."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import psutil

_WATCHED_S = 3.0
_PACKAGES = ("coe", "ray", "aiohttp", "starlette", "uvicorn", "uvloop")


@dataclass(frozen=True, slots=True)
class Machine:
    """`busy_before`: share of all cores' time, in [0, 1], that others took just before the measurement."""

    cpu: str
    cores: int
    memory_gib: float
    python: str
    versions: dict[str, str]
    busy_before: float


def describe_machine(packages: Sequence[str] = _PACKAGES) -> Machine:
    """`packages`: whose versions matter. Takes three seconds, in which the measurement must not run yet."""
    return Machine(
        cpu=_cpu_model(),
        cores=len(os.sched_getaffinity(0)),
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        python=platform.python_version(),
        versions={package: version(package) for package in packages},
        busy_before=round(psutil.cpu_percent(interval=_WATCHED_S) / 100, 3),
    )


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()
