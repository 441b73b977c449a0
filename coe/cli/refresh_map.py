"""`coe refresh-map`: in come a router and new outcomes, out comes the router with its map learned again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import JsonOption, MoreDataArgument

if TYPE_CHECKING:
    from rich.table import Table

    from coe.config.load import LoadedConfig
    from coe.store.outcomes import LoggedOutcome
    from routers.mapping.refresh import Refreshed


def refresh_map(  # noqa: PLR0917 - typer fills them by name
    router: Annotated[
        Path | None, typer.Option("--router", help="A directory that `coe train-router` wrote; else that of --config.")
    ] = None,
    data: Annotated[
        list[Path] | None,
        typer.Option("--data", help="Prompts with `outcomes`, such as a new expert's on a probe set."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A service with a `redis.url`: the scores of its answers.")
    ] = None,
    experts: Annotated[
        Path | None, typer.Option("--experts", help="JSON: sizes of experts that the router does not know yet.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would change; write nothing.")] = False,
    as_json: JsonOption = False,
    more_data: MoreDataArgument = None,
) -> None:
    """Learn the expert map again from new outcomes; the classifier stays. `coe rollback-router` takes it back."""
    import orjson
    from rich.console import Console

    from coe.cli.train_router import resolver
    from coe.config.load import load_config
    from coe.errors import InputError
    from routers.mapping.experts import read_experts
    from routers.mapping.refresh import ServedOutcome, refresh
    from routers.prompts import read_prompts
    from routers.report.document import JSON_FILE
    from routers.report.html import HTML_FILE, page
    from routers.report.refreshed import read_report, refreshed_report
    from routers.router import CategoryRouter

    service = None if config is None else load_config(config)
    files = [*(data or ()), *(more_data or ())]
    if service is None and not files:
        raise InputError("Name outcomes to learn from: `--data F` with prompts and outcomes, or `--config CONFIG`.")
    if router is None and service is None:
        raise InputError("Name the router: `--router DIR`, or `--config CONFIG` of the service that uses it.")
    directory = router if router is not None or service is None else service.path(service.config.router.path)
    assert directory is not None
    console = Console(stderr=True)
    loaded = CategoryRouter.load(directory, resolver(lambda message: console.print(message, highlight=False)))
    since = loaded.provenance.outcomes_until or 0.0
    logged = [] if service is None else [one for one in read_outcomes(service) if one.at > since]
    served = [ServedOutcome(one.category, one.expert, one.score) for one in logged if one.category is not None]
    known = set() if loaded.expert_map is None else set(loaded.expert_map.pool)
    named = known if service is None else set(service.config.experts)
    found = refresh(
        loaded,
        read_prompts(files) if files else [],
        [one for one in served if one.expert in named],
        None if experts is None else read_experts(experts),
    )
    until = max((one.at for one in logged), default=None)
    if not dry_run:
        trained = read_report(directory)
        report = None if trained is None else refreshed_report(trained, found)
        attached = {} if report is None else {JSON_FILE: report.to_json(), HTML_FILE: page(report)}
        found.router.knowing([], until).save(directory, attached)
    if as_json:
        typer.echo(orjson.dumps(changes_json(found), option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(changes_table(found))
    for line in remarks(found, loaded.chooses_by_prompt):
        typer.echo(line, err=True)
    typer.echo(f"{'Nothing was written' if dry_run else f'The router is in {directory}'}", err=True)


def read_outcomes(service: LoadedConfig) -> list[LoggedOutcome]:
    """The scores that a service's Redis holds, the oldest first.

    Raises:
        ConfigError: the configuration names no Redis.
        StartupError: Redis does not answer.
    """
    from coe.config.problem import Problem
    from coe.errors import StartupError
    from coe.store.client import STORE_ERRORS, open_redis
    from coe.store.outcomes import OutcomeLog

    url = service.config.redis.url
    if url is None:
        problem = Problem(
            ("redis", "url"),
            "without it the service has an embedded Redis of its own, which no other process can read: set it to one "
            "that you run and restart the service, or give outcomes with `--data`.",
        )
        raise service.error([problem])

    async def read() -> list[LoggedOutcome]:
        kept = service.config.router.log
        async with open_redis(url) as redis:
            return await OutcomeLog(redis, service.config.redis.namespace, kept.keep_h * 3600, kept.max_outcomes).read()

    try:
        return asyncio.run(read())
    except STORE_ERRORS as error:
        place = service.raw.origin(("redis", "url"))
        raise StartupError(f"{place}: the Redis of `redis.url` cannot be read: {error}. Is it up?") from error


def changes_table(found: Refreshed) -> Table:
    """One row a category; what changed is marked."""
    from rich.table import Table

    table = Table("category", "expert", "before", title="Expert map")
    table.add_column("outcomes", justify="right")
    table.add_column("above the default", justify="right")
    table.add_column("p", justify="right")
    for change in found.changes:
        same = change.before == change.after
        table.add_row(
            change.category,
            change.after if same else f"[bold]{change.after}[/bold]",
            "" if same else change.before or "-",
            str(change.rows),
            "" if change.difference is None else f"{100 * change.difference:+.1f}",
            "" if change.p_value is None else f"{change.p_value:.3f}",
        )
    return table


def changes_json(found: Refreshed) -> dict[str, object]:
    """What was added and what changed."""
    counts = {"probes": found.probes, "served": found.served, "known": found.known, "strange": found.strange}
    return {**counts, "changes": list(found.changes)}


def remarks(found: Refreshed, chose_by_prompt: bool) -> list[str]:
    """What a person should know beside the table."""
    lines = [f"{found.probes + found.served} outcomes were added"]
    if found.known:
        lines.append(f"{found.known} outcomes of prompts that were counted before were left out")
    if found.strange:
        lines.append(f"{found.strange} scores of categories that this router does not know were left out")
    if found.unsized:
        lines.append(f"left out, of unknown size: {', '.join(found.unsized)}; `--experts` tells sizes")
    if chose_by_prompt:
        lines.append("the router chose prompt by prompt; it now goes by the map, train it again to change that")
    return lines
