"""`coe eval-plan`: in come recorded outcomes and answers, out come scores of plans against mean calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import CacheOption, DataOption, JsonOption, MoreDataArgument

if TYPE_CHECKING:
    from rich.progress import Progress
    from rich.table import Table

    from coe.aggregators.answers import AnswerKind
    from coe.replay.figures import PlanFigures, Replay
    from coe.replay.judging import Judged
    from coe.replay.recorded import Recorded
    from routers.mapping.experts import ExpertSize
    from routers.prompts import LabelledPrompt
    from routers.router import CategoryRouter

KINDS = ("auto", "option", "number", "json", "text")
WIDTH = 100
VOTES, BARS, MOST = (3, 5), (0.0, 0.04, 0.08, 0.12), 5


@dataclass(frozen=True, slots=True)
class Training:
    """How routers are trained here. `encoder` as `coe train-router` takes it."""

    encoder: str
    seed: int
    use_cache: bool


def eval_plan(  # noqa: PLR0917 - typer fills them by name
    data: DataOption,
    experts: Annotated[
        Path | None,
        typer.Option(
            "--experts", help="JSON: expert to active parameters in billions. Others are not asked; else the router's."
        ),
    ] = None,
    router: Annotated[
        Path | None,
        typer.Option("--router", help="A directory that `coe train-router` wrote; rows that it knows are left out."),
    ] = None,
    train: Annotated[
        list[Path] | None,
        typer.Option("--train", help="Labelled prompts to train a router on instead; repeatable."),
    ] = None,
    max_active_params_b: Annotated[
        float | None,
        typer.Option("--max-active-params-b", help="Ask only experts of at most so many active parameters, billions."),
    ] = None,
    vote: Annotated[
        list[int] | None, typer.Option("--vote", min=2, help="Replay a vote of so many experts; repeatable.")
    ] = None,
    bar: Annotated[
        list[float] | None,
        typer.Option(
            "--bar",
            min=0,
            max=1,
            help="Replay a cascade that asks on while that is expected to add so much to the chance of being right; "
            "repeatable.",
        ),
    ] = None,
    most: Annotated[int, typer.Option("--most", min=2, help="Calls that these cascades may make.")] = MOST,
    answers: Annotated[
        str, typer.Option("--answers", help=f"What answers are compared by: {', '.join(KINDS)}.")
    ] = "auto",
    encoder: Annotated[
        str, typer.Option("--encoder", help="Of a router that is trained here, as in `coe train-router`.")
    ] = "static",
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw score against mean calls to this .svg, .png or .pdf.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of training and of the intervals.")] = 0,
    as_json: JsonOption = False,
    use_cache: CacheOption = True,
    more_data: MoreDataArgument = None,
) -> None:
    """Replay recorded answers through voting and cascade plans, without any model.

    With --router or --train, the category of a prompt and what is known of experts come from that router; with neither,
    each fifth of the data is judged by a router trained on the rest. No row is judged by what was learned from it.
    """
    import orjson
    from rich.console import Console

    from coe.cli.train_router import stage_bars
    from coe.errors import InputError
    from coe.replay.figures import evaluate
    from coe.replay.plans import usual_plans
    from coe.replay.plot import draw
    from coe.replay.recorded import experts_within, recorded
    from routers.mapping.experts import read_experts
    from routers.prompts import read_prompts

    if router is not None and train:
        raise InputError("Give --router or --train, not both: categories come from one router")
    kind = parse_kind(answers)
    prompts = read_prompts([*data, *(more_data or ())])
    given = None if experts is None else read_experts(experts)
    with stage_bars() as bars:
        loaded = None if router is None else load(router, bars, use_cache=use_cache)
        sizes = sizes_of(loaded) if given is None else given
        names = experts_within(prompts, sizes, max_active_params_b, None if loaded is None else learned_of(loaded))
        rows = recorded(prompts, names, kind)
        if loaded is not None:
            judged = by_router(loaded, rows, names, bars)
        else:
            training = read_prompts(train) if train else None
            judged = by_training(rows, training, names, sizes, Training(encoder, seed, use_cache), bars)
    plans = usual_plans(len(names), vote or VOTES, bar or BARS, most)
    replay = evaluate(judged, plans, names, sizes, rows=len(prompts), seed=seed)
    if plot is not None:
        draw(replay, plot)
    if as_json:
        typer.echo(orjson.dumps(replay, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console(highlight=False)
        console.width = max(WIDTH, console.width) if not console.is_terminal else console.width
        console.print(plans_table(replay))
    if replay.left_out:
        typer.echo(
            f"{replay.left_out} of {len(prompts)} rows were left out: trained on, or without an outcome or answers",
            err=True,
        )


def parse_kind(given: str) -> AnswerKind:
    """Raises InputError where `given` is no kind of answer."""
    from coe.errors import InputError

    match given:
        case "auto" | "option" | "number" | "json" | "text":
            return given
        case _:
            raise InputError(f"--answers {given!r} must be one of {', '.join(KINDS)}")


def load(directory: Path, bars: Progress, *, use_cache: bool) -> CategoryRouter:
    """The router, with its encoder behind the cache."""
    from coe.cli.train_router import encoder_cache, resolver
    from routers.encoders.catalogue import with_cache
    from routers.router import CategoryRouter

    found = CategoryRouter.load(directory, resolver(bars.console.print))
    return found.with_encoder(with_cache(found.encoder, encoder_cache(use_cache)))


def sizes_of(router: CategoryRouter | None) -> dict[str, ExpertSize] | None:
    """Those that the router was trained with; None where one is not known."""
    pool = {} if router is None or router.expert_map is None else router.expert_map.pool
    known = {name: size for name, size in pool.items() if size is not None}
    return known if known and len(known) == len(pool) else None


def learned_of(router: CategoryRouter) -> tuple[str, ...]:
    """Experts that the router has outcomes of. Raises InputError where it has none."""
    from coe.errors import InputError

    if router.paired is None:
        raise InputError("The router was trained without outcomes: train it with them, or give --train F instead of it")
    return router.paired.experts


def by_router(router: CategoryRouter, rows: Sequence[Recorded], experts: Sequence[str], bars: Progress) -> list[Judged]:
    from coe.cli.train_router import stage_progress
    from coe.replay.judging import judged_by

    return judged_by(router, rows, experts, stage_progress(bars))


def by_training(  # noqa: PLR0917 - the command's own arguments
    rows: Sequence[Recorded],
    training: Sequence[LabelledPrompt] | None,
    experts: Sequence[str],
    sizes: dict[str, ExpertSize] | None,
    how: Training,
    bars: Progress,
) -> list[Judged]:
    """By a router trained on `training`; where that is None, by one for each fold."""
    from coe.cli.train_router import encoder_cache, resolver, stage_progress
    from coe.replay.judging import FOLDS, cross_fitted, judged_by, trained
    from routers.encoders.catalogue import build_encoder, with_cache

    advance, cache = stage_progress(bars), encoder_cache(how.use_cache)
    built = build_encoder(
        how.encoder, resolver(bars.console.print), lambda done, of: advance("distil", done, of), cache=cache
    )
    encoder = with_cache(built, cache)
    if training is not None:
        return judged_by(trained(training, encoder, experts, sizes, seed=how.seed, progress=advance), rows, experts)

    def train_without(fold: int, prompts: Sequence[LabelledPrompt]) -> CategoryRouter:
        advance("folds", fold, FOLDS)
        return trained(prompts, encoder, experts, sizes, seed=how.seed)

    judged = cross_fitted(rows, train_without, encoder, experts, seed=how.seed)
    advance("folds", FOLDS, FOLDS)
    return judged


def plans_table(replay: Replay) -> Table:
    """One row a plan."""
    from rich.table import Table

    from routers.report.wording import percent

    found = f"{percent(replay.category_accuracy)} of categories found" if replay.category_accuracy is not None else ""
    table = Table(
        title=f"Plans on {replay.n:,} held-out rows, {len(replay.experts)} experts; gains over top-1 in points",
        caption=found,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("plan", no_wrap=True)
    for name in ("score [95 %]", "calls", "active", "gain [95 %]", "p"):
        table.add_column(name, justify="right", no_wrap=True)
    for plan in replay.plans:
        table.add_row(*cells(plan), style="bold" if plan.name == "cascade" else None)
    table.add_section()
    for plan in replay.references:
        table.add_row(*cells(plan))
    return table


def cells(plan: PlanFigures) -> tuple[str, ...]:
    from routers.report.wording import billions, gain, p_value, percent

    low, high = plan.score_ci95
    score = f"{percent(plan.score)} [{100 * low:.1f}, {100 * high:.1f}]"
    return (
        plan.name,
        score,
        f"{plan.calls:.2f}",
        billions(plan.active_params_b),
        gain(plan.gain),
        p_value(plan.gain.p_value),
    )
