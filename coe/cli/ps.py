"""`coe ps`: what the workers of a running service hold."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import DEFAULT_URL, JsonOption, UrlOption
from workers.report_json import report_from_json

if TYPE_CHECKING:
    import httpx

    from workers.reports import WorkerReport

WATCH_S = 1.0
PIPED_WIDTH = 200


def ps(
    watch: Annotated[bool, typer.Option("--watch", help="Show it anew every second, until Ctrl-C.")] = False,
    url: UrlOption = DEFAULT_URL,
    as_json: JsonOption = False,
) -> None:
    """List the experts of a running service: worker, tier, state, size, requests, expected wait, last swap."""
    import orjson
    from rich.console import Console

    from coe.cli.client import service_client
    from coe.cli.ps_table import ps_table
    from coe.errors import InputError

    if watch and as_json:
        raise InputError("`--watch` is for people; programs call `coe ps --json` again, or read `GET /v1/workers`.")
    with service_client(url) as client:
        if watch:
            _watch(client)
        elif as_json:
            typer.echo(orjson.dumps(_fetch(client)).decode())
        else:
            console = Console()
            if not console.is_terminal:  # a pipe has no width to fold into
                console.width = max(PIPED_WIDTH, console.width)
            console.print(ps_table(_reports(client), time.time()))


def _watch(client: httpx.Client) -> None:
    from rich.live import Live

    from coe.cli.ps_table import ps_table

    try:
        with Live(ps_table(_reports(client), time.time()), auto_refresh=False) as live:
            while True:
                _pause()
                live.update(ps_table(_reports(client), time.time()), refresh=True)
    except KeyboardInterrupt:  # how it is ended
        return


def _pause() -> None:
    time.sleep(WATCH_S)


def _reports(client: httpx.Client) -> list[WorkerReport]:
    import orjson

    return [report_from_json(orjson.dumps(raw)) for raw in _fetch(client)]


def _fetch(client: httpx.Client) -> list[object]:
    from coe.cli.client import another_service

    response = client.get("/v1/workers")
    response.raise_for_status()
    found = response.json()
    if not isinstance(found, list):
        raise another_service(client.base_url)
    return found
