"""Run a model's function against unit tests: inputs, expected results and an answer go in, pass or fail comes out.

Every answer has a process of its own, under limits of time and memory, in an empty folder, with no environment. The
process learns the inputs only; what it returns is compared here. This bounds what a model writes by mistake; it is no
sandbox against an attacker.
"""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from benchmarks.domains.answers import unfenced

_SECONDS = 2.0
_MAX_RESULT_BYTES = 200_000
_TOP_LEVEL = re.compile(r"(?:def |import |from |@|#)")
_RUNNER = Path(__file__).with_name("python_runner.py")


@dataclass(frozen=True, slots=True)
class FunctionTests:
    """The function's name, and as JSON arrays of equal length the inputs, one argument each, and expected results."""

    function: str
    inputs: str
    expected: str

    @classmethod
    def from_json(cls, text: str) -> Self:
        return cls(**json.loads(text))

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def passes(tests: FunctionTests, answer: str) -> bool:
    """Run the first code in `answer`; True where every result equals the expected one. Takes at most 2 s."""
    code = _code(answer)
    if not code:
        return False
    returned = _run(json.dumps([code, tests.function, json.loads(tests.inputs)]))
    return returned == tests.expected.encode()


def _code(answer: str) -> str:
    """The lines from the first definition or import on, as far as they are Python's at first sight."""
    lines = unfenced(answer).replace("\r\n", "\n").split("\n")
    kept = list[str]()
    for line in lines:
        if _TOP_LEVEL.match(line) or (kept and (not line.strip() or line[0].isspace())):
            kept.append(line)
        elif kept:
            break
    return "\n".join(kept)


def _run(request: str) -> bytes:
    """Give the request to a fresh process; return what it wrote, nothing where it failed or ran out of time."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as result:
        given.write(request.encode())
        given.seek(0)
        process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(_RUNNER)],
            stdin=given,
            stdout=result,
            stderr=subprocess.DEVNULL,
            cwd=folder,
            env={},
            start_new_session=True,
        )
        try:
            code = process.wait(timeout=_SECONDS)
        except subprocess.TimeoutExpired:
            return b""
        finally:
            _end(process)
        result.seek(0)
        return result.read(_MAX_RESULT_BYTES) if code == 0 else b""


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process's whole group while its leader still names it, then reap the leader."""
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
