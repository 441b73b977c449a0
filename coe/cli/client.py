"""How commands talk to a running service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from coe.errors import StartupError


@contextmanager
def service_client(url: str, timeout_s: float = 30.0) -> Iterator[httpx.Client]:
    """An HTTP client whose failures are told as one sentence.

    Raises:
        StartupError: nothing listens there, or it answered with an error.
    """
    try:
        with httpx.Client(base_url=url, timeout=timeout_s) as client:
            yield client
    except httpx.HTTPStatusError as error:
        error.response.read()
        raise StartupError(f"{url} answered {error.response.status_code}: {error.response.text}") from error
    except httpx.HTTPError as error:
        raise StartupError(
            f"No service answers at {url} ({error}); start it with `coe serve`, or give --url."
        ) from error
