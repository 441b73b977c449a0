import logging
import stat
from collections.abc import Callable, Iterator
from contextvars import copy_context
from pathlib import Path
from typing import Any

import orjson
import pytest
import structlog

from coe.telemetry.logs import configure_logs, get_logger
from workers.port.serving import Serving

Lines = Callable[[], list[dict[str, Any]]]


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    """A log file; afterwards logging is as it was."""
    names = ("coe", "workers", "aiohttp.server", "coe.engine", "opentelemetry", "opentelemetry.exporter")
    before = {name: (logging.getLogger(name).level, logging.getLogger(name).propagate) for name in names}
    yield tmp_path / "coe.log"
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()
    for name, (level, propagate) in before.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.level, logger.propagate = [], level, propagate
        logger.manager._clear_cache()  # type: ignore[attr-defined]  # not in the stubs


@pytest.fixture
def lines(log_file: Path) -> Lines:
    return lambda: [orjson.loads(line) for line in log_file.read_bytes().splitlines()]


def test_an_event_is_one_json_line(log_file: Path, lines: Lines) -> None:
    configure_logs(log_file, "info", "gateway")
    get_logger("coe.test").warning("two\nlines", worker="w-0", path=Path("/x"))
    (line,) = lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "component": "gateway",
        "module": "coe.test",
        "level": "warning",
        "event": "two\nlines",
        "worker": "w-0",
        "path": "/x",
    }


def test_lines_carry_the_request_that_they_belong_to(log_file: Path, lines: Lines) -> None:
    configure_logs(log_file, "info", "gateway")
    with structlog.contextvars.bound_contextvars(request_id="r-1"):
        get_logger("coe.test").info("inside")
    get_logger("coe.test").info("outside")
    assert [line.get("request_id") for line in lines()] == ["r-1", None]


def test_lines_of_a_worker_carry_the_request_that_it_serves(log_file: Path, lines: Lines) -> None:
    configure_logs(log_file, "info", "worker")
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    for headers in ({"x-request-id": "r-1", "traceparent": f"00-{trace}-{span}-01"}, {"x-request-id": "r-2"}):
        copy_context().run(_serve, headers)
    logging.getLogger("coe.worker").info("outside")
    first, second, outside = lines()
    assert (first["request_id"], first["trace_id"], first["span_id"]) == ("r-1", trace, span)
    assert second["request_id"] == "r-2"
    assert "trace_id" not in second
    assert "request_id" not in outside


def _serve(headers: dict[str, str]) -> None:
    Serving.begin(headers)
    logging.getLogger("coe.worker").info("inside")


def test_events_below_the_level_are_left_out(log_file: Path, lines: Lines) -> None:
    configure_logs(log_file, "warning", "gateway")
    get_logger("coe.test").info("small")
    logging.getLogger("workers.test").info("small")
    get_logger("coe.test").error("large")
    logging.getLogger("workers.test").error("large")
    assert [line["event"] for line in lines()] == ["large", "large"]


def test_records_of_the_standard_library_are_lines_too(log_file: Path, lines: Lines) -> None:
    configure_logs(log_file, "debug", "worker")
    logging.getLogger("coe.engine").info("loaded %d%%", 50, extra={"model": "base"})
    try:
        raise ValueError("broken")
    except ValueError:
        logging.getLogger("workers.worker").exception("failed")
    loaded, failed = lines()
    assert (loaded["event"], loaded["model"], loaded["module"]) == ("loaded 50%", "base", "coe.engine")
    assert (failed["event"], failed["level"]) == ("failed", "error")
    assert failed["exception"][0]["exc_type"] == "ValueError"


def test_a_traceback_tells_no_values_of_variables(log_file: Path, lines: Lines) -> None:
    configure_logs(log_file, "info", "gateway")

    def answer(prompt: str) -> None:
        raise ValueError(len(prompt))

    try:
        answer("my secret")
    except ValueError:
        get_logger("coe.test").exception("failed")
    (failed,) = lines()
    assert failed["exception"][0]["frames"][-1]["name"] == "answer"
    assert "my secret" not in log_file.read_text()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that takes nothing")
def test_a_log_that_cannot_be_written_costs_nothing_else(log_file: Path) -> None:
    configure_logs(Path("/dev/full"), "info", "gateway")
    get_logger("coe.test").error("lost")
    logging.getLogger("workers.test").error("lost")


def test_what_engines_tell_at_length_is_shown_for_debugging(log_file: Path, lines: Lines) -> None:
    configure_logs(log_file, "info", "worker")
    logging.getLogger("coe.engine").info("step 1")
    logging.getLogger("coe.engine").warning("trouble")
    assert [line["event"] for line in lines()] == ["trouble"]


def test_processes_append_to_one_file_that_only_its_owner_reads(log_file: Path, lines: Lines) -> None:
    for component in ("gateway", "worker"):
        configure_logs(log_file, "info", component)
        get_logger("coe.test").info("hello")
    assert [line["component"] for line in lines()] == ["gateway", "worker"]
    assert stat.S_IMODE(log_file.stat().st_mode) == 0o600
