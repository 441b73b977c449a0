"""An answer's bytes in, what a span tells of it out: usage, why it ended, its id, its error. Reads no token.

A stream is looked through for few marks, many chunks at a time; only the last frame with usage is parsed, at its end.
"""

from __future__ import annotations

import re

import orjson

from coe.sse import FrameCutter, payloads, read_usage
from coe.tracing.genai import Attributes

_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"(\w+)"')
_ID = re.compile(rb'"id"\s*:\s*"([^"\\]*)"')
_AT_A_TIME = 1 << 16  # bytes that are held until they are looked through
_USAGE = b'"usage"'
_ERROR = re.compile(rb'^data: ?(\{"error".*)$', re.MULTILINE)


class ReplyFacts:
    """Of one answer, which is fed in as it arrives. `error`: the code of an error that came inside it."""

    def __init__(self, *, streamed: bool) -> None:
        self._cutter = FrameCutter() if streamed else None
        self._unread: list[bytes] = []
        self._bytes = 0
        self._id = ""
        self._reasons: list[str] = []
        self._last_usage = b""
        self.error: str | None = None

    def feed(self, chunk: bytes) -> None:
        self._unread.append(chunk)
        self._bytes += len(chunk)
        if self._cutter and self._bytes >= _AT_A_TIME:
            self._read(self._cutter.feed(self._taken()))

    def attributes(self) -> Attributes:
        """What is known when the answer has ended, however it did."""
        if self._cutter is None:
            body = self._taken()
            self._read(body)
            usage = read_usage(body)
        else:
            self._read(self._cutter.feed(self._taken()))
            self._read(self._cutter.rest())
            read = (read_usage(data) for data in reversed(payloads(self._last_usage)) if _USAGE in data)
            usage = next(filter(None, read), None)
        found: Attributes = {}
        if usage:
            found["gen_ai.usage.input_tokens"] = usage.prompt_tokens
            found["gen_ai.usage.output_tokens"] = usage.completion_tokens
        if self._reasons:
            found["gen_ai.response.finish_reasons"] = self._reasons
        if self._id:
            found["gen_ai.response.id"] = self._id
        return found

    def _taken(self) -> bytes:
        data = b"".join(self._unread)
        self._unread, self._bytes = [], 0
        return data

    def _read(self, data: bytes) -> None:
        if not self._id and (told := _ID.search(data)):
            self._id = told[1].decode(errors="replace")
        self._reasons += [reason.decode() for reason in _FINISHED.findall(data)]
        if _USAGE in data:
            self._last_usage = data
        if failed := _ERROR.search(data):
            self.error = _code(failed[1])


def _code(event: bytes) -> str:
    try:
        error = orjson.loads(event)["error"]
        return str(error.get("code") or error.get("type"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "unknown"
