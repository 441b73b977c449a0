"""`coe load` and `coe unload`: put an expert's adapter into the running engines, or take it out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import DEFAULT_URL, JsonOption, UrlOption

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 400.0  # longer than the service takes to give up

ExpertArgument = Annotated[str, typer.Argument(metavar="NAME", help="The expert's name, as in `coe ps`.")]


def load(name: ExpertArgument, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Load the adapter of expert NAME as it is now, without an engine restart; a changed one takes its place."""
    _change("load", name, url, as_json=as_json)


def unload(name: ExpertArgument, url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """Unload the adapter of expert NAME. Running requests end in peace, new ones get 503."""
    _change("unload", name, url, as_json=as_json)


def _change(verb: str, name: str, url: str, *, as_json: bool) -> None:
    from urllib.parse import quote

    from coe.cli.client import service_client

    with service_client(url, TIMEOUT_S) as client:
        response = client.post(f"/v1/experts/{quote(name, safe='')}/{verb}")
        _refuse(response)
        response.raise_for_status()
    if as_json:
        typer.echo(response.text)
        return
    for worker in response.json()["workers"]:
        already = "" if worker["changed"] else ", as it was"
        typer.echo(f"{name}: {worker['state']} on {worker['worker']}{already} ({worker['seconds']:.2f} s)")


def _refuse(response: httpx.Response) -> None:
    """Raises InvalidRequestError where the name or the adapter is at fault, and not the service."""
    from coe.cli.client import error_message
    from coe.errors import InvalidRequestError

    if response.is_client_error:
        raise InvalidRequestError(error_message(response))
