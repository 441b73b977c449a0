"""Server-sent events: bytes in arbitrary pieces in, whole frames out. Reads no token, only the usage at the end."""

from __future__ import annotations

from dataclasses import dataclass

import orjson

FRAME_END = b"\n\n"
PING = b": ping\n\n"
_USAGE = b'"usage":{'
_NO_CHOICES = b'"choices":[]'


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the engine counted them."""

    prompt_tokens: int
    completion_tokens: int


class FrameReader:
    """Cuts a stream into runs of whole frames, and takes the usage out of the frame that carries it.

    Args:
        keep_usage: pass the usage frame on; the client asked for it.
    """

    def __init__(self, *, keep_usage: bool) -> None:
        self._keep_usage = keep_usage
        self._tail = b""
        self.usage: Usage | None = None

    def feed(self, chunk: bytes) -> bytes:
        """The whole frames that are complete now, possibly none."""
        data = self._tail + chunk if self._tail else chunk
        end = data.rfind(FRAME_END)
        if end < 0:
            self._tail = data
            return b""
        self._tail = data[end + 2 :]
        frames = data[: end + 2]
        return frames if _USAGE not in frames else self._without_usage(frames)

    def _without_usage(self, frames: bytes) -> bytes:
        kept = []
        for frame in frames.split(FRAME_END)[:-1]:
            if _USAGE in frame:
                self.usage = read_usage(frame.removeprefix(b"data: ")) or self.usage
                if not self._keep_usage and _NO_CHOICES in frame:
                    continue
            kept.append(frame + FRAME_END)
        return b"".join(kept)


def read_usage(body: bytes) -> Usage | None:
    """The usage of a completion or chunk; None where it has none that can be read."""
    try:
        usage = orjson.loads(body)["usage"]
        return Usage(int(usage["prompt_tokens"]), int(usage["completion_tokens"]))
    except (ValueError, KeyError, TypeError):
        return None
