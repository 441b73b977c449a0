"""Real processes: whatever dies, nothing of a reaped command is left."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from workers.processes.reaper import reaped

# Writes its pid, starts a child that is in a session of its own and deaf to SIGTERM if told to, and sleeps.
FAMILY = """
import os, signal, subprocess, sys, time
folder, deaf = sys.argv[1], sys.argv[2] == "deaf"
code = "import os,signal,sys,time;" + ("signal.signal(signal.SIGTERM, signal.SIG_IGN);" if deaf else "")
code += "open(sys.argv[1] + '/grandchild', 'w').write(str(os.getpid())); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code, folder], start_new_session=True)
open(folder + "/main", "w").write(str(os.getpid()))
time.sleep(600)
"""
# Stands for a worker: starts the reaper and sleeps.
WORKER = """
import subprocess, sys, time
sys.path.insert(0, sys.argv[1])
from workers.processes.reaper import reaped
subprocess.Popen(reaped([sys.executable, "-c", sys.argv[2], sys.argv[3], "polite"], grace_s=1))
time.sleep(600)
"""
ROOT = Path(__file__).parents[3]


def eventually(condition: Callable[[], bool], timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def pid_in(file: Path) -> int:
    eventually(lambda: file.exists() and file.read_text() != "")
    return int(file.read_text())


def gone(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


@pytest.fixture
def family(tmp_path: Path) -> Iterator[Callable[[str], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(manner: str) -> subprocess.Popen[bytes]:
        command = reaped([sys.executable, "-c", FAMILY, str(tmp_path), manner], grace_s=0.5)
        started.append(subprocess.Popen(command))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def run(*command: str) -> int:
    return subprocess.run(reaped(command), check=False, stderr=subprocess.DEVNULL).returncode


def test_exits_with_the_commands_status() -> None:
    assert run("sh", "-c", "exit 3") == 3
    assert run("sh", "-c", "kill -KILL $$") == 128 + signal.SIGKILL
    assert run("there-is-no-such-command") == 127


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_stop_signal_ends_all_descendants(
    family: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path, number: signal.Signals
) -> None:
    reaper = family("polite")
    pids = [pid_in(tmp_path / "main"), pid_in(tmp_path / "grandchild")]
    reaper.send_signal(number)
    assert reaper.wait(20) == 128 + signal.SIGTERM
    assert all(gone(pid) for pid in pids)


def test_what_ignores_sigterm_is_killed_after_the_grace(
    family: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    reaper = family("deaf")
    grandchild = pid_in(tmp_path / "grandchild")
    reaper.terminate()
    reaper.wait(20)
    assert gone(grandchild)


def test_orphans_end_when_the_command_is_killed(
    family: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    reaper = family("polite")
    main, grandchild = pid_in(tmp_path / "main"), pid_in(tmp_path / "grandchild")
    os.kill(main, signal.SIGKILL)
    assert reaper.wait(20) == 128 + signal.SIGKILL
    assert gone(grandchild)


def test_the_command_does_not_outlive_a_killed_reaper(
    family: Callable[[str], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    reaper = family("polite")
    main, grandchild = pid_in(tmp_path / "main"), pid_in(tmp_path / "grandchild")
    reaper.kill()
    eventually(lambda: gone(main))
    os.kill(grandchild, signal.SIGKILL)  # nobody is left to do it


def test_everything_ends_when_the_worker_is_killed(tmp_path: Path) -> None:
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(ROOT), FAMILY, str(tmp_path)])
    pids = [pid_in(tmp_path / "main"), pid_in(tmp_path / "grandchild")]
    worker.kill()
    worker.wait()
    eventually(lambda: all(gone(pid) for pid in pids))


def test_a_parent_that_is_already_dead_starts_nothing(tmp_path: Path) -> None:
    command = reaped(["touch", str(tmp_path / "started")])
    command[command.index("--parent") + 1] = "1"
    assert subprocess.run(command, check=False).returncode == 128 + signal.SIGTERM
    assert not (tmp_path / "started").exists()
