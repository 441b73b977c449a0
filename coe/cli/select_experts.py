"""`coe select-experts`: in come examples of a task and experts of a running service, out comes the set for it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from coe.cli.arguments import DEFAULT_URL, JsonOption, UrlOption

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from rich.table import Table

    from coe.selection.client import Asking
    from coe.selection.diversity import Compare
    from coe.selection.scoring import Candidate
    from coe.selection.selection import Ranked, Selection
    from coe.selection.shots import Shot


def select_experts(  # noqa: PLR0917 - typer fills them by name
    k_shot: Annotated[
        Path,
        typer.Option(
            "--k-shot", help='JSONL: {"prompt" or "messages", "completion", optional "reference"}; 50 rows do.'
        ),
    ],
    candidates: Annotated[
        list[str], typer.Option("--candidates", metavar="NAME...", help="Experts to compare: `--candidates A B C`.")
    ],
    url: UrlOption = DEFAULT_URL,
    size: Annotated[int, typer.Option("--size", min=1, help="How many experts to choose.")] = 4,
    check: Annotated[
        Literal["exact", "contains", "number", "json"],
        typer.Option("--check", help="When an answer is right: equal text, holds it, equal last number, equal JSON."),
    ] = "exact",
    similarity: Annotated[
        Literal["answers", "adapters"],
        typer.Option("--similarity", help="What makes two experts alike: their answers, or their LoRA weights."),
    ] = "answers",
    adapter: Annotated[
        list[str] | None,
        typer.Option("--adapter", metavar="NAME=FOLDER", help="A candidate's LoRA folder, for --similarity adapters."),
    ] = None,
    weight: Annotated[
        float, typer.Option("--weight", min=0, help="What a set's mean similarity costs against its mean score.")
    ] = 0.25,
    max_tokens: Annotated[int, typer.Option("--max-tokens", min=1, help="Longest answer.")] = 256,
    concurrency: Annotated[int, typer.Option("--concurrency", min=1, help="Requests at a time.")] = 8,
    deadline: Annotated[float, typer.Option("--deadline", min=1, help="Longest wait for one answer, seconds.")] = 120.0,
    as_json: JsonOption = False,
    more_candidates: Annotated[
        list[str] | None, typer.Argument(metavar="[NAME...]", help="Further names after --candidates.")
    ] = None,
) -> None:
    """Measure experts of a running service on a few examples, drop guessers and duplicates, choose the best set.

    The score of an expert is the mean of its accuracy and of the mean probability that it gives the reference answers'
    tokens. A set is worth its mean score less --weight times the mean similarity of its pairs.
    """
    import orjson
    from rich.console import Console

    from coe.cli.train_router import stage_bars, stage_progress
    from coe.selection.checks import final_answer
    from coe.selection.client import Asking
    from coe.selection.scoring import chance_of
    from coe.selection.selection import select
    from coe.selection.shots import read_shots

    names = list(dict.fromkeys([*candidates, *(more_candidates or ())]))
    shots = read_shots(k_shot, check)
    references = [final_answer(check, shot.reference) for shot in shots]
    compare = _comparison(similarity, names, adapter or (), len(set(references)))
    asking = Asking(check=check, max_tokens=max_tokens, concurrency=concurrency, deadline_s=deadline)
    with stage_bars() as bars:
        measured = _measured(url, names, shots, asking, stage_progress(bars))
    chance = chance_of(references)
    selection = select(measured, size, compare, chance=chance, weight=weight)
    if as_json:
        typer.echo(orjson.dumps(figures(selection, chance), option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(table(selection, chance))
    if not selection.chosen:
        typer.echo("error: no candidate is better than a guess on these rows; give more rows, or others.", err=True)
        raise typer.Exit(1)


def _measured(
    url: str, names: Sequence[str], shots: Sequence[Shot], asking: Asking, progress: Callable[[str, int, int], None]
) -> list[Candidate]:
    import asyncio

    import httpx

    from coe.errors import StartupError
    from coe.selection.client import measure

    async def run() -> list[Candidate]:
        limits = httpx.Limits(max_connections=asking.concurrency)
        async with httpx.AsyncClient(base_url=url, timeout=asking.deadline_s, limits=limits) as client:
            return await measure(client, names, shots, asking, progress)

    try:
        return asyncio.run(run())
    except httpx.InvalidURL as error:
        raise StartupError(f"No service answers at {url} ({error}); give --url.") from error


def _comparison(similarity: str, names: Sequence[str], adapters: Sequence[str], distinct: int) -> Compare:
    from coe.errors import ConfigError
    from coe.selection.adapters import AdapterLikeness, read_adapter
    from coe.selection.diversity import AnswerLikeness

    if similarity == "answers":
        return AnswerLikeness(distinct)
    folders = {name: folder for name, _, folder in (given.partition("=") for given in adapters) if folder}
    if missing := [name for name in names if name not in folders]:
        raise ConfigError(f"--similarity adapters needs --adapter NAME=FOLDER for {', '.join(missing)}.")
    return AdapterLikeness({name: read_adapter(Path(folders[name])) for name in names})


def figures(selection: Selection, chance: float) -> Mapping[str, object]:
    """What `--json` prints; an expert's tests are null where it was dropped as a duplicate."""
    return {
        "n": len(selection.ranking[0].candidate.rows),
        "chance": chance,
        "chosen": selection.chosen,
        "value": selection.value,
        "exact": selection.exact,
        "experts": [_expert(place) for place in selection.ranking],
        "similarity": [
            {"experts": pair, "similarity": similarity} for pair, similarity in selection.similarities.items()
        ],
    }


def _expert(place: Ranked) -> Mapping[str, object]:
    candidate, suspicion = place.candidate, place.suspicion
    return {
        "expert": candidate.name,
        "chosen": place.chosen,
        "accuracy": candidate.accuracy,
        "nll": candidate.nll,
        "score": candidate.score,
        "reason": place.reason,
        "duplicate_of": place.duplicate_of,
        "p_guess": suspicion.p_guess if suspicion else None,
        "likelihood_z": suspicion.likelihood_z if suspicion else None,
        "p_reasoning": suspicion.p_reasoning if suspicion else None,
    }


def table(selection: Selection, chance: float) -> Table:
    """One row a candidate, the best score first, with the reason of its place."""
    from rich.table import Table

    shown = Table(title="Experts", caption=_caption(selection), caption_justify="left")
    for column in ("expert", "accuracy", "nll a token", "score"):
        shown.add_column(column, justify="left" if column == "expert" else "right")
    shown.add_column("verdict")
    for place in selection.ranking:
        candidate = place.candidate
        values = (f"{candidate.accuracy:.3f}", f"{candidate.nll:.3f}", f"{candidate.score:.3f}")
        shown.add_row(candidate.name, *values, _verdict(place, chance))
    return shown


def _caption(selection: Selection) -> str:
    if selection.value is None:
        return "Nobody is chosen."
    search = "best of all sets" if selection.exact else "grown by the best expert at a time"
    return f"Chosen: {', '.join(selection.chosen)}; value {selection.value:.3f}, {search}."


def _verdict(place: Ranked, chance: float) -> str:
    match place.reason:
        case "duplicate":
            return f"dropped: answers or weights as those of {place.duplicate_of}"
        case "guess" if place.suspicion:
            return (
                f"dropped: a guesser is right on {chance:.3f}, at least as often with p = {place.suspicion.p_guess:.2g}"
            )
        case "unlikely reasoning" if place.suspicion:
            z, p = place.suspicion.likelihood_z or 0.0, place.suspicion.p_reasoning or 0.0
            return f"dropped: finds the reasoning unlikely (z = {z:.1f}), also where it is right (p = {p:.2g})"
        case _:
            return "chosen" if place.chosen else "not chosen: the set is better without it"
