"""The service's error tree, and its one mapping to HTTP and to exit codes.

CoeError
├── ConfigError                    a setting is wrong (command: exit 2)
├── InputError                     what a command was given cannot be used (command: exit 2)
├── RefusedError                   the result of a command is not good enough to be kept (command: exit 1)
├── StartupError                   the service cannot start (command: exit 1)
└── RequestError                   a request cannot be answered; carries its HTTP form
    ├── InvalidRequestError        400 to 422: the client must change the request or what it names
    ├── ModelNotFoundError         404
    ├── OverloadedError            429: come back after `retry_after_s`
    ├── UnavailableError           503: nothing can answer now
    ├── DeadlineError              504: the answer took too long
    ├── UpstreamError              the worker's own error, relayed with its status
    └── InternalError              500: a fault of the service itself

`routers` and `workers` have trees of their own, because they do not know `coe`; `exit_code` places them here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import orjson

from routers.errors import ArtefactError, BudgetError, DataError, RouterError
from workers.errors import PlacementError, SimulationError, SourceError, WorkerError


class CoeError(Exception):
    """Base of all errors that `coe` raises on purpose. The message says what to do."""


class InputError(CoeError):
    """What a person gave to a command cannot be used."""


class ConfigError(CoeError):
    """A setting is wrong: the message names file, line and remedy."""


class RefusedError(CoeError):
    """What a command made is not shown to be of use, and was not kept."""


class StartupError(CoeError):
    """The service cannot start although its configuration is sound."""


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """OpenAI's error object. `param` and `code` are strings or null, never numbers."""

    message: str
    type: str
    param: str | None
    code: str | None

    def to_json(self) -> bytes:
        return orjson.dumps(
            {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}
        )

    def to_frame(self) -> bytes:
        """The server-sent event that tells of a failure after the stream began; clients raise on it."""
        return b"data: " + self.to_json() + b"\n\n"


class RequestError(CoeError):
    """A request that cannot be answered, with the HTTP status and OpenAI error that say so.

    Args:
        message: what is wrong and what to do.
        param: the request field to blame.
        code: OpenAI's machine-readable code; the class's own where None.
        retry_after_s: seconds after which a retry may succeed, at most 60.
    """

    status: ClassVar[int] = 500
    type: ClassVar[str] = "server_error"
    default_code: ClassVar[str | None] = None

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(message)
        self.param = param
        self.code = code or self.default_code
        self.retry_after_s = retry_after_s
        self.http_status = self.status
        self.body = ErrorBody(message, self.type, param, self.code)


class InvalidRequestError(RequestError):
    """The client must change the request or what it names. `status` is 400 where no other tells more."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> None:
        super().__init__(message, param=param, code=code)
        self.http_status = status


class ModelNotFoundError(RequestError):
    """The request names a model that the service does not have."""

    status = 404
    type = "invalid_request_error"
    default_code = "model_not_found"


class OverloadedError(RequestError):
    """The queue is full; the client should come back."""

    status = 429
    type = "rate_limit_error"
    default_code = "rate_limit_exceeded"


class UnavailableError(RequestError):
    """No worker can answer now: it is loading, restarting, draining or gone."""

    status = 503
    default_code = "service_unavailable"


class DeadlineError(RequestError):
    """The answer took longer than a request may. Not 408, which clients would repeat."""

    status = 504
    default_code = "deadline_exceeded"


class InternalError(RequestError):
    """Something that nobody expected; the log has its traceback."""

    default_code = "internal_error"


class UpstreamError(RequestError):
    """A worker's or engine's own error, relayed with its status."""

    def __init__(self, status: int, body: ErrorBody, retry_after_s: float | None = None) -> None:
        super().__init__(body.message, param=body.param, code=body.code, retry_after_s=retry_after_s)
        self.http_status = status
        self.body = body


EXPECTED_ERRORS = (CoeError, RouterError, WorkerError)
"""What a command prints as one message, without a traceback."""

BAD_INPUT_ERRORS = (
    *(ConfigError, InputError, InvalidRequestError),
    *(DataError, ArtefactError, BudgetError),
    *(SourceError, PlacementError, SimulationError),
)


def exit_code(error: Exception) -> int:
    """2 where the input is at fault and the person must change it, 1 where the work failed."""
    return 2 if isinstance(error, BAD_INPUT_ERRORS) else 1
