"""What an engine answers: its bytes go in, the same bytes with the expert's name as `model` come out.

Nothing is parsed. In JSON a quote inside a string is escaped, so the bytes `"model":"` can only be a key; the first on
a line (one line is one server-sent event's JSON) or in a body is the answer's own.
"""

import re

import orjson

from workers.openai_errors import Failure, RefusedError, relayed

_STRING = rb'"(?:[^"\\]|\\.)*"'
_IN_LINE = re.compile(rb'(?m)^(data:[^\n]*?"model"\s*:\s*)' + _STRING)
_IN_BODY = re.compile(rb'("model"\s*:\s*)' + _STRING)
_ERROR_LINE = re.compile(rb'(?m)^data: ?\{"error"')


class StreamFailedError(RefusedError):
    """The engine reported an error inside its stream. `before` are the bytes to send ahead of `failure`."""

    def __init__(self, before: bytes, failure: Failure) -> None:
        super().__init__(failure)
        self.before = before


class StreamNames:
    """Renames the events of one stream. Chunks may be cut anywhere; at most one incomplete line is held back."""

    def __init__(self, expert: str) -> None:
        self._name = orjson.dumps(expert)
        self._held = b""

    def feed(self, chunk: bytes) -> bytes:
        """The renamed bytes that are ready. Raises `StreamFailedError` at an error event."""
        data = self._held + chunk if self._held else chunk
        end = data.rfind(b"\n") + 1
        self._held = data[end:]
        return self._renamed(data[:end]) if end else b""

    def rest(self) -> bytes:
        """What was held back, at the stream's end."""
        held, self._held = self._held, b""
        return self._renamed(held) if held else b""

    def _renamed(self, lines: bytes) -> bytes:
        if b'{"error"' in lines and (error := _ERROR_LINE.search(lines)):
            line = lines[error.start() :].partition(b"\n")[0]
            raise StreamFailedError(self._renamed(lines[: error.start()]), relayed(500, line.partition(b":")[2]))
        return _IN_LINE.sub(self._put, lines)

    def _put(self, match: re.Match[bytes]) -> bytes:
        return match[1] + self._name


def named_body(body: bytes, expert: str) -> bytes:
    """`body`, an answer that is not streamed, with `expert` as its model."""
    name = orjson.dumps(expert)
    return _IN_BODY.sub(lambda match: match[1] + name, body, count=1)
