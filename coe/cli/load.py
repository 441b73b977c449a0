"""`coe load`, `unload`, `pin` and `unpin`: change what the workers of a running service hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import DEFAULT_URL, JsonOption, UrlOption

if TYPE_CHECKING:
    import httpx

TIMEOUT_S = 400.0  # longer than the service takes to give up

ExpertArgument = Annotated[str, typer.Argument(metavar="NAME", help="The expert's name, as in `coe ps`.")]
KeyOption = Annotated[
    str | None,
    typer.Option("--admin-key", envvar="COE_ADMIN_KEY", help="The service's `server.admin_key`, where it has one."),
]


def _command(verb: str, told: str) -> Callable[[str, str, str | None, bool], None]:
    """`told`: what `--help` says."""

    def command(
        name: ExpertArgument, url: UrlOption = DEFAULT_URL, admin_key: KeyOption = None, as_json: JsonOption = False
    ) -> None:
        _change(verb, name, url, admin_key, as_json=as_json)

    command.__doc__ = told
    return command


load = _command(
    "load", "Load expert NAME as it is now, without an engine restart; a changed adapter takes the place of the old."
)
unload = _command("unload", "Unload expert NAME. Running requests end in peace.")
pin = _command("pin", "Keep expert NAME in device memory, whatever else is asked for, until `coe unpin`.")
unpin = _command("unpin", "Let expert NAME leave device memory again when room is needed.")


def _change(verb: str, name: str, url: str, admin_key: str | None, *, as_json: bool) -> None:
    from urllib.parse import quote

    from coe.cli.client import service_client

    headers = {b"authorization": f"Bearer {admin_key.strip()}".encode()} if admin_key else {}
    with service_client(url, TIMEOUT_S) as client:
        response = client.post(f"/v1/experts/{quote(name, safe='')}/{verb}", headers=headers)
        _refuse(response)
        response.raise_for_status()
        changed = response.json()
    if as_json:
        typer.echo(response.text)
        return
    for worker in changed["workers"]:
        became = {"pin": "pinned", "unpin": "not pinned"}.get(verb, worker["state"])
        already = "" if worker["changed"] else ", as it was"
        typer.echo(f"{name}: {became} on {worker['worker']}{already} ({worker['seconds']:.2f} s)")


def _refuse(response: httpx.Response) -> None:
    """Raises InvalidRequestError where the name or the adapter is at fault, and not the service."""
    from coe.cli.client import error_message
    from coe.errors import InvalidRequestError

    if response.is_client_error:
        raise InvalidRequestError(error_message(response))
