"""`/ui`: the files of `static` in, replies out. The page itself asks only the API that everybody can ask.

An entity tag is made of a file's content: wheels give all files one time, so times and sizes tell no versions apart.
Files have fixed names that import each other, so browsers ask each time, and 304 is the usual answer.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.resources import files
from importlib.resources.abc import Traversable

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from coe.gateway.exchange import Exchange

INDEX = "index.html"
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
CONTENT_SECURITY_POLICY = (
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": CONTENT_SECURITY_POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class _File:
    body: bytes
    media_type: str
    etag: str


class UiPage:
    """Starlette endpoints. The files are read once, at its making: they are few, and no request waits for a disk."""

    def __init__(self) -> None:
        self._files = {
            path.name: _read(path) for path in files("coe.ui").joinpath("static").iterdir() if _suffix(path.name)
        }

    async def folder(self, request: Request) -> Response:
        """`/ui` leads to `/ui/`. Relative, because the service may stand below a prefix that it does not know."""
        Exchange.of(request.scope).endpoint = "/ui"
        return RedirectResponse("ui/", headers=HEADERS)

    async def file(self, request: Request) -> Response:
        """One file, or 304 where the browser has it. Raises HTTPException (404): there is none of this name."""
        Exchange.of(request.scope).endpoint = "/ui"
        found = self._files.get(request.path_params["name"] or INDEX)
        if found is None:
            raise HTTPException(404)
        headers = {**HEADERS, "etag": found.etag}
        if _has(request.headers.get("if-none-match", ""), found.etag):
            return Response(status_code=304, headers=headers)
        return Response(found.body, media_type=found.media_type, headers=headers)


def _read(path: Traversable) -> _File:
    body = path.read_bytes()
    return _File(body, MEDIA_TYPES[_suffix(path.name)], f'"{hashlib.sha256(body).hexdigest()[:16]}"')


def _suffix(name: str) -> str:
    """Empty for what is none of the page."""
    return next((suffix for suffix in MEDIA_TYPES if name.endswith(suffix)), "")


def _has(if_none_match: str, etag: str) -> bool:
    """A proxy that compresses makes tags weak; for this purpose they are equal (RFC 9110, 13.1.2)."""
    return etag in (tag.strip().removeprefix("W/") for tag in if_none_match.split(","))
