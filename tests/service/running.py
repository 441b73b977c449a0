"""A whole service in a process of its own, started as a person starts it."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil
import yaml

REPOSITORY = Path(__file__).parents[2]
LOCAL_CONFIG = REPOSITORY / "configs" / "local.yaml"
CLUSTER_CONFIG = REPOSITORY / "configs" / "cluster.yaml"
NEWCOMER = "newcomer"
START_TIMEOUT_S = 420.0
STOP_TIMEOUT_S = 90.0


@dataclass
class RunningService:
    """One `coe serve` in a process of its own."""

    process: subprocess.Popen[str]
    url: str
    stdout: list[str] = field(default_factory=list)
    stderr: list[str] = field(default_factory=list)

    def descendants(self) -> list[psutil.Process]:
        """Every process that the service has started and that still runs under it."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def commands(self) -> Iterator[tuple[psutil.Process, list[str]]]:
        """Each of them with its command line; some end while they are looked at."""
        for process in self.descendants():
            with suppress(psutil.NoSuchProcess):
                yield process, process.cmdline()


def assert_all_gone(processes: list[psutil.Process], timeout_s: float = 5.0) -> None:
    """None of the processes that a service had is left."""
    _, alive = psutil.wait_procs(processes, timeout=timeout_s)
    assert not alive


RunService = Callable[[dict[str, object]], AbstractContextManager[RunningService]]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def read_local_config() -> dict[str, object]:
    return shipped_config(LOCAL_CONFIG)


def shipped_config(file: Path) -> dict[str, object]:
    """With absolute paths, so that it works from any folder."""
    config = yaml.safe_load(file.read_text())
    assert isinstance(config, dict)
    config["router"]["path"] = str(file.parent / config["router"]["path"])
    for expert in config["experts"].values():
        if "adapter" in expert:
            expert["adapter"] = f"path:{file.parent / expert['adapter'].removeprefix('path:')}"
    return config


def with_newcomer(config: dict[str, object], adapter: Path) -> dict[str, object]:
    """The configuration with one expert more, whose adapter is loaded on request."""
    models, experts = config["models"], config["experts"]
    assert isinstance(models, dict)
    assert isinstance(experts, dict)
    expert = {"model": next(iter(models)), "adapter": f"path:{adapter}", "load": "request"}
    return {**config, "experts": {**experts, NEWCOMER: expert}}


@contextmanager
def run_service(folder: Path, config: dict[str, object], **environment: str) -> Iterator[RunningService]:
    port = free_port()
    path = folder / "service.yaml"
    path.write_text(yaml.safe_dump({**config, "server": {"port": port, **_section(config, "server")}}))
    process = subprocess.Popen(
        [sys.executable, "-m", "coe.cli.main", "serve", str(path)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        start_new_session=True,  # a process group of its own, as under a shell, for a Ctrl-C that reaches all of it
        env={name: value for name, value in os.environ.items() if not name.startswith("RAY_")} | environment,
    )
    service = RunningService(process, f"http://127.0.0.1:{port}")
    readers = [_reader(process.stdout, service.stdout), _reader(process.stderr, service.stderr)]
    try:
        _wait_until_ready(service)
        yield service
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for reader in readers:
            reader.join()


def _section(config: dict[str, object], name: str) -> dict[str, object]:
    section = config.get(name, {})
    assert isinstance(section, dict)
    return {key: value for key, value in section.items() if key != "port"}


def _reader(stream: IO[str] | None, lines: list[str]) -> threading.Thread:
    def read() -> None:
        assert stream is not None
        with stream:
            for line in stream:
                lines.append(line)  # noqa: PERF402  # each as it comes, not all at the end

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread


def _wait_until_ready(service: RunningService) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if service.process.poll() is not None:
            raise AssertionError(f"coe serve ended with {service.process.returncode}:\n{''.join(service.stderr)}")
        if any("coe is ready" in line for line in service.stdout):
            return
        time.sleep(0.2)
    raise AssertionError(f"not ready after {START_TIMEOUT_S:.0f} s:\n{''.join(service.stderr)}")
