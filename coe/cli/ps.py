"""`coe ps`: what the workers of a running service hold."""

from __future__ import annotations

import typer

from coe.cli.arguments import DEFAULT_URL, JsonOption, UrlOption


def ps(url: UrlOption = DEFAULT_URL, as_json: JsonOption = False) -> None:
    """List the experts of a running service: worker, state, tier, running and waiting requests."""
    import orjson
    from rich.console import Console
    from rich.table import Table

    from coe.cli.client import service_client
    from workers.spec import WorkerReport

    with service_client(url) as client:
        response = client.get("/v1/workers")
        response.raise_for_status()
    if as_json:
        typer.echo(response.text)
        return
    table = Table("expert", "worker", "model", "state", "tier", "running", "waiting", "error", box=None)
    for raw in orjson.loads(response.content):
        report = WorkerReport.from_json(orjson.dumps(raw))
        for found in report.experts:
            counts = (str(found.running), str(found.waiting))
            table.add_row(
                found.name, report.worker_id, found.model, found.state, found.tier, *counts, found.error or ""
            )
    Console().print(table)
