"""What all processes of one running service share, and where each keeps its files on the machine that it is on."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

HOME_VARIABLE = "COE_HOME"
RAY_ADDRESS = "RAY_ADDRESS"
"""Ray's own variable for a cluster that runs already."""
NODE_VARIABLE = "COE_NODE_DIR"
"""Folder of a node that `coe join` made; its processes inherit it."""
NODE_LOG = "node.log"


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
        local: all processes are on this machine, so ports stay on the loopback address.
        head: this machine is the head of a cluster that others may join.
    """

    run_dir: Path
    log_file: Path
    redis_url: str
    token: str = field(repr=False)
    local: bool
    head: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NodePaths:
    """Where the processes of one machine keep their files.

    Attributes:
        run_dir: sockets, counters and metrics.
        log_file: what they append to.
        cache_dir: converted models.
    """

    run_dir: Path
    log_file: Path
    cache_dir: Path


def node_paths(runtime: Runtime) -> NodePaths:
    """Of the machine that this process is on, which need not be the one that the service was started on.

    A node that `coe join` made has a folder of its own. Elsewhere the service's own paths are taken; the run folder is
    made, and logs go there where the folder of the log file does not exist.
    """
    if folder := os.environ.get(NODE_VARIABLE):
        return NodePaths(run_dir=Path(folder), log_file=Path(folder) / NODE_LOG, cache_dir=cache_directory())
    runtime.run_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    log_file = runtime.log_file if runtime.log_file.parent.is_dir() else runtime.run_dir / NODE_LOG
    return NodePaths(run_dir=runtime.run_dir, log_file=log_file, cache_dir=cache_directory())
