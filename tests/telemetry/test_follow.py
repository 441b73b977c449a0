import io
import time
from pathlib import Path
from typing import Literal

import orjson
import pytest

from coe.telemetry.follow import LogFollower

EVENT = {
    "timestamp": "2026-01-02T03:04:05.6Z",
    "level": "warning",
    "component": "worker",
    "module": "coe.worker",
    "event": "engine [died]",
    "model": "base",
    "error": None,
}
LINE = orjson.dumps(EVENT)


def followed(path: Path, style: Literal["auto", "console", "json"], written: bytes) -> str:
    stream = io.StringIO()
    follower = LogFollower(path, style, stream)
    follower.start()
    with path.open("ab") as file:
        file.write(written)
    follower.close()
    return stream.getvalue()


def test_people_get_a_short_line(tmp_path: Path) -> None:
    assert followed(tmp_path / "log", "console", LINE + b"\n") == (
        "03:04:05 warning worker   engine [died] model=base\n"
    )


@pytest.mark.parametrize("style", ["json", "auto"])
def test_programs_get_the_line_as_it_is(tmp_path: Path, style: Literal["auto", "json"]) -> None:
    assert followed(tmp_path / "log", style, LINE + b"\n") == LINE.decode() + "\n"


@pytest.mark.parametrize("line", [b"plain words", b"5", b"[1]", b"\xff"])
def test_what_is_no_event_is_printed_as_it_is(tmp_path: Path, line: bytes) -> None:
    assert followed(tmp_path / "log", "console", line + b"\n") == line.decode(errors="replace") + "\n"


def test_only_what_is_new_is_printed(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"of an earlier run\n")
    assert followed(tmp_path / "log", "console", b"new\n") == "new\n"


def test_lines_are_printed_as_they_come_and_never_in_parts(tmp_path: Path) -> None:
    stream = io.StringIO()
    follower = LogFollower(tmp_path / "log", "json", stream)
    follower.start()
    with (tmp_path / "log").open("ab", buffering=0) as file:
        file.write(b"whole\nha")
        deadline = time.monotonic() + 5
        while "whole" not in stream.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert stream.getvalue() == "whole\n"
        file.write(b"lf\n")
    follower.close()
    assert stream.getvalue() == "whole\nhalf\n"
