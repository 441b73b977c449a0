"""Structured logs: events with keys in, JSON lines out, to one file that all processes of the service append to.

`coe serve` follows that file and prints it (`coe.telemetry.follow`). Prompt texts are not logged unless asked.
"""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import cast

import orjson
import structlog
from structlog.tracebacks import ExceptionDictTransformer
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from coe.tracing.traceparent import trace_ids
from workers.port.serving import current_request

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


class _LineFile:
    """Appends whole lines by single writes, so that lines of several processes do not mix.

    A line that cannot be written is lost: a full disk must not cost an answer.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def msg(self, message: bytes) -> None:
        with suppress(OSError):
            os.write(self._descriptor, message + b"\n")

    debug = info = warning = error = critical = exception = msg


class _ToStructlog(logging.Handler):
    """Standard library records (the engines' output, aiohttp's errors) as structured lines."""

    def emit(self, record: logging.LogRecord) -> None:
        fields = {key: value for key in ("model", "worker") if (value := getattr(record, key, None)) is not None}
        if serving := current_request():
            fields |= {"request_id": serving.request_id, **trace_ids(dict(serving.trace))}
        log = get_logger(record.name)
        text = record.getMessage()
        if record.exc_info:
            log.log(record.levelno, text, exc_info=record.exc_info, **fields)
        else:
            log.log(record.levelno, text, **fields)


def configure_logs(file: Path, level: str, component: str) -> None:
    """Sends this process's logs to the service's file.

    Args:
        file: created with permissions for the owner only.
        level: one of `LEVELS`.
        component: the key `component` of every line, such as `gateway`.
    """

    def add_component(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
        event["component"] = component
        return event

    sink = _LineFile(file)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_component,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False)),  # they hold prompts
            structlog.processors.JSONRenderer(serializer=orjson.dumps, default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=lambda *_: sink,
        cache_logger_on_first_use=True,
    )
    for name in ("coe", "workers", "aiohttp.server", "opentelemetry"):
        bridge = logging.getLogger(name)
        bridge.handlers = [_ToStructlog()]
        bridge.setLevel(LEVELS[level])
        bridge.propagate = False
    logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)  # coe.tracing.export tells of it once
    if level == "info":  # engines tell much in their own INFO; `debug` shows it
        logging.getLogger("coe.engine").setLevel(logging.WARNING)


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger whose lines carry `module: name`."""
    return cast("FilteringBoundLogger", structlog.get_logger(module=name))
