"""`coe rollback-router`: swap a router and the one that it replaced; a running service takes the change up."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coe.cli.arguments import JsonOption


def rollback_router(
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="The router's directory, `router.path`.")],
    as_json: JsonOption = False,
) -> None:
    """Bring back the router that DIR held before it was last replaced; doing it again returns.

    A service that runs with DIR takes the change up within seconds.
    """
    import orjson

    from routers.artefact import roll_back

    version = roll_back(directory)
    if as_json:
        typer.echo(orjson.dumps({"router_version": version}).decode())
    else:
        typer.echo(f"{directory} holds the router {version} again")
