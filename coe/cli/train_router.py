"""`coe train-router`: in come labelled prompts, out comes a router directory; the report goes to stdout."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import CacheOption, DataOption, JsonOption, MoreDataArgument

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

    from routers.tuning import TuningReport


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
    max_share: Annotated[
        list[str] | None,
        typer.Option(
            "--max-share", metavar="EXPERT=SHARE", help="Largest share of the traffic, in [0, 1]; repeatable."
        ),
    ] = None,
    frontier: Annotated[
        list[float] | None,
        typer.Option(
            "--frontier", metavar="B", help="Report the score at this average of active parameters; repeatable."
        ),
    ] = None,
    encoder: Annotated[
        str,
        typer.Option(
            "--encoder",
            help="static (a table distilled from MiniLM: a third of a millisecond), minilm, minilm-onnx (int8), words "
            "(none), or a model's source; several: static+minilm.",
        ),
    ] = "static",
    reject_rate: Annotated[
        float,
        typer.Option("--reject-rate", help="Share of in-scope prompts that may go to `general`, in [0, 1)."),
    ] = 0.05,
    seed: Annotated[int, typer.Option("--seed", help="The same seed and data give the same router.")] = 0,
    finetune_encoder: Annotated[
        bool,
        typer.Option("--finetune-encoder", help="Tune the encoder on half of the rows; kept only where that gains."),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Write the router even if it does not beat the best single expert.")
    ] = False,
    as_json: JsonOption = False,
    use_cache: CacheOption = True,
    more_data: MoreDataArgument = None,
) -> None:
    """Train a router on labelled prompts; where they hold outcomes, learn which expert serves which category."""
    from rich.console import Console

    from coe.cli.router_report import print_report
    from coe.errors import RefusedError
    from routers.artefact import refuse_foreign
    from routers.encoders.catalogue import build_encoder, with_cache, without_cache
    from routers.evaluation import latency
    from routers.mapping.experts import read_experts
    from routers.mapping.limits import Limits
    from routers.prompts import read_prompts
    from routers.report.document import JSON_FILE, document_of
    from routers.report.html import HTML_FILE, page
    from routers.training import MapSettings, check_input, train
    from routers.tuning import train_tuned, tunable

    refuse_foreign(out)
    cache = encoder_cache(use_cache)
    sizes = None if experts is None else read_experts(experts)
    limits = Limits(max_active_params_b, max_total_params_b, parse_shares(max_share or []))
    mapping = MapSettings(sizes, limits, tuple(frontier or ()))
    prompts = read_prompts([*data, *(more_data or ())])
    check_input(prompts, mapping, reject_rate)
    with stage_bars() as bars:
        advance = stage_progress(bars)
        built = build_encoder(
            encoder, resolver(bars.console.print), lambda done, of: advance("distil", done, of), cache=cache
        )
        cached = with_cache(built, cache)
        learn = partial(train, mapping=mapping, reject_rate=reject_rate, seed=seed, progress=advance)
        if finetune_encoder:
            router, report, tuning = train_tuned(prompts, tunable(built), cached, learn, seed=seed, progress=advance)
            bars.console.print(tuning_finding(tuning), highlight=False)
        else:
            router, report = learn(prompts, cached)
        spent = latency(router.with_encoder(without_cache(router.encoder)), prompts, seed=seed, progress=advance)
    objection = report.objection()
    if objection and force:
        router = router.forced(objection)
    document = document_of(router, report, spent)
    if as_json:
        typer.echo(document.to_json(), nl=False)
    else:
        print_report(document)
    if objection and not force:
        raise RefusedError(f"The router was not written: {objection}. `--force` writes it and marks it so.")
    router.save(out, {JSON_FILE: document.to_json(), HTML_FILE: page(document)})
    Console(stderr=True).print(f"The router is in {out}, its report in {out / HTML_FILE}", highlight=False)


def stage_bars() -> Progress:
    """Bars on stderr, one a stage."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    times = (TimeElapsedColumn(), TimeRemainingColumn())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), *times)
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
    from workers.sources.resolution import resolve

    return lambda source: resolve(source, cache_directory(), say)


def encoder_cache(wanted: bool) -> Path | None:
    """Where vectors and distilled tables are kept from one command to the next."""
    from coe.runtime import cache_directory

    return cache_directory() / "encoders" if wanted else None


def tuning_finding(tuning: TuningReport) -> str:
    """Which encoder was kept, and the evidence."""
    kept = "the tuned encoder was kept" if tuning.kept else "the encoder was kept as it is"
    return f"{kept}: log loss {tuning.base_loss:.3f} as it is, {tuning.tuned_loss:.3f} tuned"


def parse_shares(given: list[str]) -> dict[str, float]:
    """`EXPERT=SHARE` arguments. Raises InputError for one that is not that."""
    from coe.errors import InputError

    found: dict[str, float] = {}
    for one in given:
        name, _, share = one.rpartition("=")
        try:
            value = float(share)
        except ValueError:
            value = -1.0
        if not name or not 0 <= value <= 1:
            raise InputError(f"--max-share {one!r} must be EXPERT=SHARE with a share from 0 to 1, such as big=0.2")
        found[name] = value
    return found
