"""A function is right when it passes its tests; what it does besides is kept from the rest of the machine."""

import time
from pathlib import Path

import pytest

from benchmarks.domains.python_judge import FunctionTests, passes

TESTS = FunctionTests("solve", "[[1, 2, 3, 4], [], [-2]]", "[6, 0, -2]")
RIGHT = "def solve(xs):\n    return sum(x for x in xs if x % 2 == 0)"
WITH_IMPORTS = """
from functools import reduce
from typing import List

def solve(xs: List[int]) -> int:
    print('hello')
    return reduce(lambda a, b: a + b, [x for x in xs if not x % 2], 0)
"""


@pytest.mark.parametrize(
    "answer",
    [
        RIGHT,
        f"```python\n{RIGHT}\n```",
        f"Here is the function:\n\n```\n{RIGHT}\n```\nIt adds the even numbers.",
        f"Sure:\n{RIGHT}\nThis returns the sum.",
        WITH_IMPORTS,
    ],
)
def test_a_function_that_passes_is_right(answer: str) -> None:
    assert passes(TESTS, answer)


@pytest.mark.parametrize(
    "answer",
    [
        "def solve(xs):\n    return sum(xs)",
        "def other(xs):\n    return sum(x for x in xs if x % 2 == 0)",
        "def solve(xs):\n    print(sum(x for x in xs if x % 2 == 0))",
        "def solve(xs):\n    return sum(x for x in xs if x % 2 == 0",
        "def solve(xs):\n    return xs[0]",
        "solve = 3",
        "def solve(xs):\n    return {1, 2}",
        "no code at all",
    ],
)
def test_a_function_that_fails_is_wrong(answer: str) -> None:
    assert not passes(TESTS, answer)


@pytest.mark.parametrize(
    "line",
    [
        "while True: pass",
        "while True: print('x' * 1000)",
        "import os; os.fork()",
        "import os; os.system('true')",
        "import subprocess; subprocess.run(['true'])",
        "import socket; socket.create_connection(('127.0.0.1', 1))",
        "import sys; sys.exit(0)",
        "import posix; posix._exit(0)",
        "open('found', 'w').write('x')",
        "'x' * 10**10",
        "return 'x' * 10**6",
        "return solve(xs)",
        "raise KeyboardInterrupt",
    ],
)
def test_a_hostile_function_is_wrong_and_ends_soon(line: str) -> None:
    began = time.monotonic()
    assert not passes(TESTS, f"def solve(xs):\n    {line}\n    return sum(x for x in xs if x % 2 == 0)")
    assert time.monotonic() - began < 5


def test_a_function_sees_no_environment_and_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COE_SECRET", "1")
    looks = "def solve(x):\n    import posix\n    return len(posix.environ.get(b'COE_SECRET', b''))"
    assert passes(FunctionTests("solve", "[0]", "[0]"), looks)
    target = tmp_path / "written"
    assert not passes(
        FunctionTests("solve", "[0]", "[0]"), f"def solve(x):\n    open({str(target)!r}, 'w')\n    return 0"
    )
    assert not target.exists()


def test_a_bad_answer_spoils_no_later_one() -> None:
    assert not passes(TESTS, "import builtins\nbuiltins.sum = None\n\ndef solve(xs):\n    return 1")
    assert passes(TESTS, RIGHT)
