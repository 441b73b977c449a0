"""Run a command so that nothing of it is ever left behind: `python -m workers.processes.reaper [--grace S] -- CMD...`

An engine is several processes, and a worker killed by SIGKILL cannot end them. So this one stands between. It is
their subreaper (descendants that lose their parent become its children) and ends all of them when
- the command ends, by itself or by any signal: what it left is ended;
- it gets SIGTERM, SIGINT or SIGHUP;
- its parent dies. The kernel tells it by SIGTERM (PR_SET_PDEATHSIG) when the parent's *thread* that started it ends:
  start it from a thread that lives as long as the command shall.
Ending is SIGTERM to the command, then to what is left of it, and after `--grace` seconds (10) SIGKILL to all.
The exit status is the command's, or 128 + N where signal N ended it, or 127 where it could not be started.
The command is in a session of its own and is killed by the kernel should this process be. Standard library only.
"""

import ctypes
import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_STOPPING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
_WAITED_FOR = _STOPPING | {signal.SIGCHLD}
_KILL_PERIOD_S = 0.1


def reaped(command: Sequence[str], *, grace_s: float = 10.0) -> list[str]:
    """The command line that runs `command` under a reaper which is a child of this process."""
    settings = ["--parent", str(os.getpid()), "--grace", str(grace_s)]
    return [sys.executable, "-I", "-S", __file__, *settings, "--", *command]


def run(command: Sequence[str], *, parent: int, grace_s: float) -> int:
    """Run `command` to its end or ours, end all of its descendants, and return its exit status."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED_FOR)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before the kernel knew that we care
        return 128 + signal.SIGTERM
    main = _start(command, mask)
    status, kill_at = None, None
    while True:
        received = signal.sigtimedwait(_WAITED_FOR, _timeout(kill_at))
        status, left = _reap(main, status)
        if not left:
            return _exit_status(status)
        stopping = received is not None and received.si_signo in _STOPPING
        if kill_at is None and (stopping or status is not None):
            kill_at = time.monotonic() + grace_s
        if kill_at is None:
            continue
        if time.monotonic() >= kill_at:
            _signal(_descendants(os.getpid()), signal.SIGKILL)
        elif status is not None:
            _signal(_descendants(os.getpid()), signal.SIGTERM)
        elif stopping:
            _signal([main], signal.SIGTERM)


def _start(command: Sequence[str], mask: Iterable[int]) -> int:
    reaper = os.getpid()
    if pid := os.fork():
        return pid
    try:
        os.setsid()
        _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() == reaper:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            os.execvp(command[0], list(command))  # noqa: S606  no shell is wanted
    except OSError as error:
        sys.stderr.write(f"cannot start `{command[0]}`: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(127)


def _reap(main: int, status: int | None) -> tuple[int | None, bool]:
    """Collect what ended. Returns the command's wait status, None while it runs, and whether any child is left."""
    while True:
        try:
            pid, ended = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return status, False
        if pid == 0:
            return status, True
        if pid == main:
            status = ended


def _descendants(root: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with suppress(OSError):  # it ended meanwhile
                fields = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found = list(children.get(root, ()))
    for pid in found:
        found.extend(children.get(pid, ()))
    return found


def _signal(pids: Iterable[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)


def _timeout(kill_at: float | None) -> float:
    if kill_at is None:
        return 3600.0
    return max(_KILL_PERIOD_S, kill_at - time.monotonic())


def _exit_status(status: int | None) -> int:
    code = os.waitstatus_to_exitcode(status or 0)
    return code if code >= 0 else 128 - code


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def main(arguments: Sequence[str]) -> int:
    parser = ArgumentParser(prog="reaper", description="Run a command and end all of its descendants with it.")
    parser.add_argument("--parent", type=int, default=os.getppid(), metavar="PID", help="stop when this is not ours")
    parser.add_argument("--grace", type=float, default=10.0, metavar="SECONDS", help="between SIGTERM and SIGKILL")
    parser.add_argument("command", nargs="+")
    parsed = parser.parse_args(arguments)
    return run(parsed.command, parent=parsed.parent, grace_s=parsed.grace)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
