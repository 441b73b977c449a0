"""Server-sent events: bytes in arbitrary pieces in, whole frames or what they carry out.

Lines end in LF, as vLLM's do, or in CR LF, as those of some other servers do.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import orjson

PING = b": ping\n\n"
_FRAME_ENDS = (b"\n\n", b"\n\r\n")
_FRAME = re.compile(rb".*?\n\r?\n", re.DOTALL)
_USAGE = re.compile(rb'"usage"\s*:\s*\{')
_NO_CHOICES = re.compile(rb'"choices"\s*:\s*\[\s*\]')
_DATA = re.compile(rb"^data: ?([^\r\n]*)", re.MULTILINE)


def comment(text: str) -> bytes:
    """A frame that carries nothing and is shown to whoever looks; `text` is of one line."""
    return b": " + text.encode() + b"\n\n"


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int


class FrameCutter:
    """Cuts a stream into runs of whole frames."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, chunk: bytes) -> bytes:
        """The whole frames that are complete now, possibly none."""
        data = self._tail + chunk if self._tail else chunk
        end = max(_end_after(mark, data) for mark in _FRAME_ENDS)
        self._tail = data[end:]
        return data[:end]

    def rest(self) -> bytes:
        """What the stream ended with, where its last frame was left without its blank line."""
        return self.feed(b"\n\n") if self._tail.strip() else b""


class FrameReader:
    """Cuts a stream into runs of whole frames, and takes the usage out of the frame that carries it. Reads no token.

    Args:
        keep_usage: pass the usage frame on; the client asked for it.
    """

    def __init__(self, *, keep_usage: bool) -> None:
        self._keep_usage = keep_usage
        self._cutter = FrameCutter()
        self.usage: Usage | None = None

    def feed(self, chunk: bytes) -> bytes:
        """The whole frames that are complete now, possibly none, without the usage frame where it is not kept."""
        return self._read(self._cutter.feed(chunk))

    def rest(self) -> bytes:
        """What the stream ended with, where its last frame was left without its blank line."""
        return self._read(self._cutter.rest())

    def _read(self, frames: bytes) -> bytes:
        return self._without_usage(frames) if _USAGE.search(frames) else frames

    def _without_usage(self, frames: bytes) -> bytes:
        kept = []
        for frame in _FRAME.findall(frames):
            if _USAGE.search(frame):
                data = _DATA.search(frame)
                self.usage = (read_usage(data[1]) if data else None) or self.usage
                if not self._keep_usage and _NO_CHOICES.search(frame):
                    continue
            kept.append(frame)
        return b"".join(kept)


def payloads(frames: bytes) -> list[bytes]:
    """What the `data` lines of whole frames carry, `[DONE]` too; comments carry nothing."""
    return _DATA.findall(frames)


def read_usage(body: bytes) -> Usage | None:
    """The usage of a completion or chunk; None where it has none that can be read."""
    try:
        usage = orjson.loads(body)["usage"]
        return Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
    except (ValueError, KeyError, TypeError):
        return None


def _end_after(mark: bytes, data: bytes) -> int:
    found = data.rfind(mark)
    return found + len(mark) if found >= 0 else 0
