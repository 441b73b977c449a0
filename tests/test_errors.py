import inspect

import orjson
import pytest

from coe import errors
from coe.errors import (
    CoeError,
    ConfigError,
    ErrorBody,
    InvalidRequestError,
    RequestError,
    StartupError,
    UnavailableError,
    UpstreamError,
    exit_code,
)
from routers.errors import ArtefactChecksumError, BudgetError, DataError, EncoderError
from workers.errors import EngineStartError, SourceNotFoundError, SpecError


def test_every_error_has_its_http_form() -> None:
    found = {
        name: (kind.status, kind.type, kind.default_code)
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, RequestError) and kind not in {RequestError, UpstreamError}
    }
    assert found == {
        "InvalidRequestError": (400, "invalid_request_error", None),
        "ModelNotFoundError": (404, "invalid_request_error", "model_not_found"),
        "OverloadedError": (429, "rate_limit_error", "rate_limit_exceeded"),
        "UnavailableError": (503, "server_error", "service_unavailable"),
        "DeadlineError": (504, "server_error", "deadline_exceeded"),
        "InternalError": (500, "server_error", "internal_error"),
    }


def test_a_body_has_all_four_keys() -> None:
    error = UnavailableError("Later.", code="draining", retry_after_s=10)
    assert orjson.loads(error.body.to_json()) == {
        "error": {"message": "Later.", "type": "server_error", "param": None, "code": "draining"}
    }
    assert error.body.to_frame() == b"data: " + error.body.to_json() + b"\n\n"


def test_a_workers_error_is_relayed_as_it_is() -> None:
    body = ErrorBody("message", "some_type", "n", "code")
    error = UpstreamError(418, body, 3.0)
    assert (error.http_status, error.body, error.retry_after_s, str(error)) == (418, body, 3.0, "message")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ConfigError("x"), 2),
        (InvalidRequestError("x"), 2),
        (DataError("x"), 2),
        (ArtefactChecksumError("x"), 2),
        (BudgetError("x"), 2),
        (SourceNotFoundError("x"), 2),
        (StartupError("x"), 1),
        (EngineStartError("x"), 1),
        (SpecError("x"), 1),
        (EncoderError("x"), 1),
        (CoeError("x"), 1),
    ],
)
def test_bad_input_and_failed_work_have_exit_codes_of_their_own(error: Exception, code: int) -> None:
    assert exit_code(error) == code
