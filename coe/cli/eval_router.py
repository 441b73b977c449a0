"""`coe eval-router`: in come a router directory and labelled prompts, out come its figures on stdout."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import CacheOption, DataOption, JsonOption, MoreDataArgument

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from rich.table import Table


def eval_router(
    router: Annotated[Path, typer.Option("--router", help="A directory that `coe train-router` wrote.")],
    data: DataOption,
    as_json: JsonOption = False,
    use_cache: CacheOption = True,
    more_data: MoreDataArgument = None,
) -> None:
    """Measure a router on prompts that it was not trained on; a figure that the data cannot give is null."""
    import orjson
    from rich.console import Console

    from coe.cli.train_router import encoder_cache, resolver, stage_bars, stage_progress
    from routers.encoders.catalogue import with_cache
    from routers.evaluation import evaluate
    from routers.prompts import read_prompts
    from routers.router import CategoryRouter

    prompts = read_prompts([*data, *(more_data or ())])
    with stage_bars() as bars:
        loaded = CategoryRouter.load(router, resolver(bars.console.print))
        cached = with_cache(loaded.encoder, encoder_cache(use_cache))
        found = evaluate(loaded, prompts, cached=cached, progress=stage_progress(bars))
    figures = found.to_json()
    if found.trained_on:
        typer.echo(
            f"Warning: {found.trained_on} of {found.n} prompts were in the training data: figures promise too much",
            err=True,
        )
    if as_json:
        typer.echo(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(figures_table(figures))


def figures_table(figures: Mapping[str, object]) -> Table:
    """One row a figure, named by its path in the JSON."""
    from rich.table import Table

    table = Table("figure", "value")
    for name, value in _flat(figures):
        table.add_row(name, _shown(value))
    return table


def _flat(figures: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, object]]:
    for name, value in figures.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


def _shown(value: object) -> str:
    match value:
        case None:
            return "-"
        case float():
            return f"{value:.4f}"
        case tuple():
            return " to ".join(map(_shown, value))
        case _:
            return str(value)
