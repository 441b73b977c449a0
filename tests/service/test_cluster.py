"""A service that joins a Ray cluster instead of starting one of its own."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.running import free_port, run_service
from tests.service.test_faults import ScriptedEngine, ask, attached_config

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


@pytest.fixture
def ray_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A cluster of one node, started as its operator starts it."""
    address = f"127.0.0.1:{free_port()}"
    command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--include-dashboard=false"]
    log = (tmp_path_factory.mktemp("ray") / "ray.log").open("wb")
    with log, subprocess.Popen([*command, f"--port={address.rpartition(':')[2]}"], stdout=log, stderr=log) as head:
        _wait_until_started(Path(log.name))
        yield address
        head.terminate()


def _wait_until_started(log: Path) -> None:
    deadline = time.monotonic() + 60
    while "Ray runtime started" not in log.read_text():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


def test_it_answers_and_leaves_the_cluster_running(ray_address: str, tmp_path: Path) -> None:
    engine = ScriptedEngine()
    try:
        with run_service(tmp_path, attached_config(engine), RAY_ADDRESS=ray_address) as service:
            assert ask(service.url).status_code == 200
        with run_service(tmp_path, attached_config(engine), RAY_ADDRESS=ray_address) as service:
            assert ask(service.url, "doomed").status_code == 200
    finally:
        engine.close()
