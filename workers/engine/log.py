"""What an engine writes: a byte stream goes in; lines come out to the log, and the last of them are kept."""

import logging
import re
from asyncio import StreamReader
from collections import deque

_KEPT_LINES = 200
_LONGEST_LINE = 16_384
_READ_BYTES = 65_536
_LINE_END = re.compile(rb"[\r\n]+")
_LEVEL = re.compile(r"\b(DEBUG|INFO|WARNING|ERROR|CRITICAL)\b")
_LEVELS = {
    "DEBUG": logging.DEBUG,
    "INFO": logging.INFO,
    "WARNING": logging.WARNING,
    "ERROR": logging.ERROR,
    "CRITICAL": logging.CRITICAL,
}


class EngineLog:
    """Forwards an engine's lines to the logger `coe.engine` with `model` as extra, and keeps the last 200."""

    def __init__(self, model: str) -> None:
        self._logger = logging.LoggerAdapter(logging.getLogger("coe.engine"), {"model": model})
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    async def read(self, stream: StreamReader) -> None:
        """Take everything that `stream` brings, until its end. Progress bars count as lines."""
        rest = b""
        while chunk := await stream.read(_READ_BYTES):
            *complete, rest = _LINE_END.split(rest + chunk)
            if len(rest) > _LONGEST_LINE:
                complete.append(rest)
                rest = b""
            for line in complete:
                self._take(line)
        self._take(rest)

    def _take(self, raw: bytes) -> None:
        line = raw[:_LONGEST_LINE].decode(errors="replace").rstrip()
        if line:
            self._lines.append(line)
            level = _LEVEL.search(line, 0, 80)
            self._logger.log(_LEVELS[level[1]] if level else logging.INFO, "%s", line)
