"""What all processes of one running service share, and what only the machine decides."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

HOME_VARIABLE = "COE_HOME"


def cache_directory() -> Path:
    """Where converted models are kept: `COE_HOME`, or `coe` under the user's cache folder."""
    if home := os.environ.get(HOME_VARIABLE):
        return Path(home).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "coe"


@dataclass(frozen=True, slots=True, kw_only=True)
class Runtime:
    """Handed to every deployment.

    Attributes:
        run_dir: sockets, counters and metrics of this run; removed at its end.
        log_file: what all processes append to.
        redis_url: the shared Redis.
        token: secret that workers' data ports demand.
        cache_dir: converted models.
        local: all processes are on this machine, so ports stay on the loopback address.
    """

    run_dir: Path
    log_file: Path
    redis_url: str
    token: str = field(repr=False)
    cache_dir: Path
    local: bool
