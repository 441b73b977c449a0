"""How commands talk to a running service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import orjson

from coe.errors import StartupError


@contextmanager
def service_client(url: str, timeout_s: float = 30.0) -> Iterator[httpx.Client]:
    """An HTTP client whose failures are told as one sentence.

    Raises:
        StartupError: nothing listens there, it answered with an error, or with what is not of this service.
    """
    try:
        with httpx.Client(base_url=url, timeout=timeout_s) as client:
            yield client
    except httpx.HTTPStatusError as error:
        raise StartupError(f"{url} answered {error.response.status_code}: {error_message(error.response)}") from error
    except json.JSONDecodeError as error:
        raise another_service(url) from error
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise StartupError(
            f"No service answers at {url} ({error}); start it with `coe serve`, or give --url."
        ) from error


def another_service(url: object) -> StartupError:
    return StartupError(f"What answers at {url} is another service than `coe serve`; check --url.")


def error_message(response: httpx.Response) -> str:
    """The message of an OpenAI error, or the body as it is. A streamed reply was read before it was judged."""
    try:
        return str(orjson.loads(response.content)["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return response.text
