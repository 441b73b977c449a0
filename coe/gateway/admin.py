"""Who may load, unload and pin experts: headers of a request in, nothing or the error that refuses it out.

Open by itself only where the service listens on this machine alone, and then not to pages of other sites that a
browser on it shows: those name another host or origin.
"""

from __future__ import annotations

import hmac
from ipaddress import ip_address
from urllib.parse import urlsplit

from pydantic import SecretStr
from starlette.datastructures import Headers

from coe.errors import InvalidRequestError

SCHEME = "bearer "


class AdminGuard:
    """Args: `host` that the service listens on; `key` that must be sent, None where there is none."""

    def __init__(self, host: str, key: SecretStr | None) -> None:
        self._local = _is_loopback(host)
        self._key = key.get_secret_value().encode() if key else None

    def check(self, headers: Headers) -> None:
        """Raises InvalidRequestError: 401 where the key is missing or wrong, 403 where nothing would help but one."""
        if self._key is not None:
            self._check_key(headers.get("authorization", ""), self._key)
        elif not self._local or not _asked_locally(headers):
            raise InvalidRequestError(
                "Experts cannot be changed over the network without a key: set `server.admin_key` (or "
                "COE_SERVER__ADMIN_KEY) and send `authorization: Bearer KEY` (`coe load --admin-key`, COE_ADMIN_KEY). "
                "Without one this is open at http://127.0.0.1 alone, where `server.host` is a loopback address.",
                code="admin_closed",
                status=403,
            )

    def permits(self, headers: Headers) -> bool:
        """Whether `check` would let them in."""
        try:
            self.check(headers)
        except InvalidRequestError:
            return False
        return True

    @staticmethod
    def _check_key(sent: str, key: bytes) -> None:
        given = sent[len(SCHEME) :].strip() if sent.lower().startswith(SCHEME) else ""
        if not hmac.compare_digest(given.encode("latin-1"), key):  # as it was decoded
            raise InvalidRequestError(
                "Send the key of `server.admin_key`: `authorization: Bearer KEY` (`coe load --admin-key`, or "
                "COE_ADMIN_KEY).",
                code="invalid_admin_key",
                status=401,
            )


def _asked_locally(headers: Headers) -> bool:
    """Whether the request names this machine by a loopback address; a browser also says whose page it comes from."""
    origin = headers.get("origin")
    named = [f"//{headers.get('host', '')}", *([origin] if origin else [])]
    try:
        return all(_is_loopback(urlsplit(each).hostname or "") for each in named)
    except ValueError:  # brackets that are none
        return False


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
