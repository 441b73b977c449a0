"""Failures as OpenAI clients expect them: a status and a code go in, the body with all four keys comes out."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import orjson

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "invalid_request_error",
    429: "rate_limit_error",
}
_LONGEST_TEXT = 2000
_ENGINE_IS_DEAD = ("EngineCore encountered", "EngineDeadError")  # vLLM's front end, whose core has ended
_RESTART_S = 10.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A request that is not answered. `code` names the cause for programs; `retry_after_s` is in seconds."""

    status: int
    code: str | None
    message: str
    retry_after_s: float | None = None
    param: str | None = None
    type: str | None = None

    @property
    def body(self) -> bytes:
        default = "invalid_request_error" if self.status < 500 else "server_error"
        error = {
            "message": self.message,
            "type": self.type or _TYPES.get(self.status, default),
            "param": self.param,
            "code": self.code,
        }
        return orjson.dumps({"error": error})

    @property
    def error_type(self) -> str:
        """The cause for programs that need one: the code, or the status where there is none."""
        return self.code or str(self.status)

    @property
    def event(self) -> bytes:
        """The failure as a server-sent event, for a stream that has begun."""
        return b"data: " + self.body + b"\n\n"

    @property
    def headers(self) -> Mapping[str, str]:
        headers = {"content-type": "application/json"}
        if self.retry_after_s is not None:
            headers["retry-after"] = str(max(1, ceil(self.retry_after_s)))
        return headers


class RefusedError(Exception):
    """Ends the handling of a request with `failure` as its answer."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def engine_died() -> Failure:
    """The failure of a request whose engine ended before or while it answered."""
    return Failure(503, "engine_died", "the engine ended while it was answering and is being restarted", _RESTART_S)


def engine_is_dead(message: str) -> bool:
    """Whether an engine's own error says that its core has ended."""
    return any(mark in message for mark in _ENGINE_IS_DEAD)


def relayed(status: int, body: bytes) -> Failure:
    """An engine's own error in this shape. vLLM's `code` is the status as a number; OpenAI's is a name or null."""
    try:
        document = orjson.loads(body)
        error = document["error"]
        message = error["message"]
    except (ValueError, KeyError, TypeError):
        text = body[:_LONGEST_TEXT].decode(errors="replace").strip() or "no reason given"
        return Failure(status, None if status < 500 else "engine_error", f"the engine answered {status}: {text}")
    if engine_is_dead(str(message)):
        return engine_died()
    code = error.get("code")
    if isinstance(code, int) and 400 <= code <= 599:
        status = code
    return Failure(
        status,
        code if isinstance(code, str) else ("engine_error" if status >= 500 else None),
        str(message),
        param=error["param"] if isinstance(error.get("param"), str) else None,
        type="server_error" if status >= 500 else "invalid_request_error",
    )
