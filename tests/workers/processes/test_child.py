"""Programs that are run to their end: what they write and how they end."""

import sys
from threading import Event

import pytest

from workers.processes.child import ChildFailedError, run_child


def run(program: str) -> str:
    return run_child([sys.executable, "-c", program], "running", lambda _: None, Event())


def test_what_a_program_writes_comes_back() -> None:
    assert run("print('one'); print('two')") == "one\ntwo\n"


def test_of_a_program_that_fails_the_last_line_is_told() -> None:
    with pytest.raises(ChildFailedError, match=r"^no space left$"):
        run("import sys; print('working', file=sys.stderr); sys.exit('no space left')")


def test_bytes_that_are_no_text_hide_nothing_else() -> None:
    with pytest.raises(ChildFailedError, match=r"cannot read .*: no such file"):
        run(r"import os; os.write(2, b'cannot read \xff.bin: no such file\n'); raise SystemExit(1)")
