"""`coe train-router`: in come labelled prompts, out comes a router directory; a summary goes to stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import CacheOption, DataOption, MoreDataArgument

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID
    from rich.table import Table

    from routers.router import CategoryRouter
    from routers.training import TrainingReport


def train_router(  # noqa: PLR0917 - typer fills them by name
    data: DataOption,
    out: Annotated[Path, typer.Option("--out", help="Directory to write the router to; an older router is replaced.")],
    experts: Annotated[
        Path | None,
        typer.Option(
            "--experts", help="JSON: expert to active parameters in billions. Others are left out of the map."
        ),
    ] = None,
    max_active_params_b: Annotated[
        float | None,
        typer.Option("--max-active-params-b", help="Budget: active parameters, average over traffic, in billions."),
    ] = None,
    max_total_params_b: Annotated[
        float | None,
        typer.Option("--max-total-params-b", help="Budget: parameters of all experts that the map keeps, in billions."),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option("--encoder", help="minilm, static (much faster, less exact), or the source of a model."),
    ] = "minilm",
    reject_rate: Annotated[
        float,
        typer.Option("--reject-rate", help="Share of in-scope prompts that may go to `general`, in [0, 1)."),
    ] = 0.05,
    seed: Annotated[int, typer.Option("--seed", help="The same seed and data give the same router.")] = 0,
    use_cache: CacheOption = True,
    more_data: MoreDataArgument = None,
) -> None:
    """Train a router on labelled prompts; where they hold outcomes, learn which expert serves which category."""
    from rich.console import Console

    from routers.artefact import refuse_foreign
    from routers.encoders.catalogue import build_encoder, with_cache
    from routers.mapping.experts import read_experts
    from routers.prompts import read_prompts
    from routers.training import MapSettings, train

    refuse_foreign(out)
    cache = encoder_cache(use_cache)
    sizes = None if experts is None else read_experts(experts)
    prompts = read_prompts([*data, *(more_data or ())])
    with stage_bars() as bars:
        advance = stage_progress(bars)
        built = build_encoder(
            encoder, resolver(bars.console.print), lambda done, of: advance("distil", done, of), cache=cache
        )
        router, report = train(
            prompts,
            with_cache(built, cache),
            mapping=MapSettings(sizes, max_active_params_b, max_total_params_b),
            reject_rate=reject_rate,
            seed=seed,
            progress=advance,
        )
    router.save(out)
    Console().print(summary(router, report))
    Console(stderr=True).print(f"The router is in {out}", highlight=False)


def stage_bars() -> Progress:
    """Bars on stderr, one a stage."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=Console(stderr=True))


def stage_progress(bars: Progress) -> Callable[[str, int, int], None]:
    """What `routers` tells of its progress, on `bars`."""
    tasks: dict[str, TaskID] = {}

    def advance(stage: str, done: int, total: int) -> None:
        if stage not in tasks:
            tasks[stage] = bars.add_task(stage, total=total)
        bars.update(tasks[stage], completed=done, total=total)

    return advance


def resolver(say: Callable[[str], None]) -> Callable[[str], Path]:
    """Makes a folder of an encoder's source, in the cache folder; `say` is told what is done."""
    from coe.runtime import cache_directory
    from workers.sources import resolve

    return lambda source: resolve(source, cache_directory(), say)


def encoder_cache(wanted: bool) -> Path | None:
    """Where vectors and distilled tables are kept from one command to the next."""
    from coe.runtime import cache_directory

    return cache_directory() / "encoders" if wanted else None


def summary(router: CategoryRouter, report: TrainingReport) -> Table:
    """One row a category: its prompts and its expert; below, what cross-validation found."""
    from rich.table import Table

    expert_map = router.expert_map
    table = Table(title="Router", caption="\n".join(_findings(report)), caption_justify="left")
    table.add_column("category")
    table.add_column("prompts", justify="right")
    table.add_column("expert")
    for category, rows in report.rows_by_category.items():
        table.add_row(category, str(rows), "-" if expert_map is None else expert_map.expert_for(category))
    table.add_row("general", "", "-" if expert_map is None else expert_map.default)
    return table


def _findings(report: TrainingReport) -> list[str]:
    lines = [f"cross-validated accuracy {report.accuracy:.4f}, log loss {report.log_loss:.3f}"]
    if report.ood_auroc is not None:
        lines.append(f"out of scope: {report.out_of_scope} prompts, AUROC {report.ood_auroc:.3f}")
    if report.unlabelled:
        lines.append(f"{report.unlabelled} rows without a category were not used")
    if report.repeats:
        lines.append(f"{report.repeats} repeated rows were used once")
    if report.conflicts:
        lines.append(
            f"{len(report.conflicts)} prompts have more than one category, such as {report.conflicts[0][:60]!r}"
        )
    if report.not_mapped:
        lines.append(f"left out of the map, without size or outcomes: {', '.join(report.not_mapped)}")
    return lines
