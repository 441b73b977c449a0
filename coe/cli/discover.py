"""`coe discover`: in come a router and prompts, out come proposals for new categories, for a person to judge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import JsonOption, MoreDataArgument

if TYPE_CHECKING:
    from collections.abc import Sequence

    from rich.table import Table

    from coe.config.load import LoadedConfig
    from routers.discovery import Discovery


def discover(  # noqa: PLR0917 - typer fills them by name
    router: Annotated[
        Path | None, typer.Option("--router", help="A directory that `coe train-router` wrote; else that of --config.")
    ] = None,
    data: Annotated[
        list[Path] | None, typer.Option("--data", help="Prompts, .jsonl or .jsonl.gz; several: `--data A B`.")
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A service with a `redis.url`: the prompts kept there that it rejected."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Look at all prompts, not only at those that the router rejects.")
    ] = False,
    min_size: Annotated[int, typer.Option("--min-size", help="Prompts that a category needs.")] = 10,
    max_groups: Annotated[int, typer.Option("--max-groups", help="Groups to look for, at most.")] = 20,
    examples: Annotated[int, typer.Option("--examples", min=1, help="Prompts to show of each.")] = 5,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="New file for the grouped prompts as rows to correct, label and train on."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="The same seed and data give the same proposals.")] = 0,
    as_json: JsonOption = False,
    more_data: MoreDataArgument = None,
) -> None:
    """Group the prompts that a router rejects and propose new categories, each with examples and a name."""
    import orjson
    from rich.console import Console

    from coe.cli.train_router import resolver, stage_bars, stage_progress
    from routers.discovery import DiscoverySettings
    from routers.discovery import discover as find
    from routers.router import CategoryRouter

    if out is not None:
        _refuse_existing(out)
    settings = DiscoverySettings(rejected_only=not everything, max_groups=max_groups, min_size=min_size, seed=seed)
    service = _service(config)
    directory = _router_directory(router, service)
    texts = _texts([*(data or ()), *(more_data or ())], service)
    with stage_bars() as bars:
        advance = stage_progress(bars)
        loaded = CategoryRouter.load(directory, resolver(bars.console.print))
        found = find(texts, loaded, settings, lambda done, of: advance("classify", done, of))
    if out is not None and found.proposals:
        _write_rows(found, out)
    if as_json:
        typer.echo(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return
    if found.proposals:
        Console().print(proposals_table(found, examples))
    for line in remarks(found, settings.min_size):
        typer.echo(line, err=True)
    if out is not None and found.proposals:
        typer.echo(f"The rows are in {out}: correct the categories, then train on them with your other data", err=True)


def proposals_table(found: Discovery, examples: int) -> Table:
    """One row a proposal: what it is close to among the known categories, and its most central prompts."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Proposed categories", show_lines=True)
    for heading in ("category", "prompts", "cohesion", "closest known"):
        table.add_column(heading, justify="right" if heading in {"prompts", "cohesion"} else "left")
    table.add_column("most central prompts", overflow="fold")
    for proposal in found.proposals:
        table.add_row(
            escape(proposal.name),
            str(len(proposal.prompts)),
            f"{proposal.cohesion:.2f}",
            escape(f"{proposal.nearest} ({proposal.nearest_probability:.2f})"),
            "\n".join(escape(" ".join(prompt.split())[:100]) for prompt in proposal.prompts[:examples]),
        )
    return table


def remarks(found: Discovery, min_size: int) -> list[str]:
    """What the table does not show: where the other prompts went, and why nothing was found."""
    looked_at = found.given - found.repeats - found.known
    counts = f"{found.repeats} repeated, {found.known} of a known category, {looked_at} looked at"
    lines = [f"{found.given} prompts: {counts}, {len(found.scattered)} of them in no group"]
    if looked_at < min_size:
        lines.append(f"A category needs {min_size} prompts (`--min-size`): collect more, or look at `--all`")
    elif not found.proposals:
        lines.append("No group stands apart from what the router knows: the prompts are scattered")
    return lines


def _service(config: Path | None) -> LoadedConfig | None:
    from coe.config.load import load_config

    return None if config is None else load_config(config)


def _router_directory(router: Path | None, service: LoadedConfig | None) -> Path:
    from coe.errors import InputError

    if router is not None:
        return router
    if service is not None:
        return service.path(service.config.router.path)
    raise InputError("Name the router's directory with `--router`, or a service that has one with `--config`.")


def _texts(files: Sequence[Path], service: LoadedConfig | None) -> list[str]:
    """The prompts of the files, then those that the service rejected."""
    from coe.cli.rejected_prompts import read_rejected_prompts
    from coe.errors import InputError
    from routers.prompts import read_prompts

    if not files and service is None:
        raise InputError("Give prompts with `--data`, or a service that keeps them with `--config`.")
    given = [prompt.text for prompt in read_prompts(files)]
    return given if service is None else [*given, *read_rejected_prompts(service)]


def _refuse_existing(out: Path) -> None:
    from coe.errors import InputError

    if out.exists():
        raise InputError(f"{out} exists and is left alone: name another file for `--out`, or remove it")


def _write_rows(found: Discovery, out: Path) -> None:
    import orjson

    from coe.errors import InputError

    rows = [
        {"prompt": prompt, "category": proposal.name} for proposal in found.proposals for prompt in proposal.prompts
    ]
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with out.open("xb") as stream:
            stream.writelines(orjson.dumps(row) + b"\n" for row in rows)
    except FileExistsError:
        _refuse_existing(out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror}") from error
