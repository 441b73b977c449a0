"""Rounds of classifying in, the published figures out: medians, ratios between paths, targets, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import orjson

from benchmarks.machine import Machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table

LENGTHS = (50, 200)
BATCH = 128
_PATHS = {
    "static": "`static`, the router that ships",
    "static, unseen words": "the same, every word new",
    "minilm": "`minilm`",
    "minilm-onnx": "`minilm-onnx`",
    "bare minilm": "MiniLM's encoding alone (sentence-transformers)",
    "scikit-learn": "TF-IDF and logistic regression (scikit-learn)",
}


@dataclass(frozen=True, slots=True)
class Speed:
    """Prompts of one length: milliseconds for one on its own, and how many a second in a batch."""

    p50_ms: float
    p99_ms: float
    per_s: float


Round = Mapping[int, Speed]
"""One path in one round, by the number of tokens of its prompts."""


@dataclass(frozen=True, slots=True)
class Report:
    """`ratios`: p50 of the router that ships as a share of another path's, by path and number of tokens."""

    machine: Machine
    rounds: int
    speeds: dict[str, dict[str, Speed]]
    ratios: dict[str, dict[str, float]]
    goals: list[Goal]


def report(machine: Machine, measured: Mapping[str, Sequence[Round]]) -> Report:
    """From the rounds of each path; `static` must be among them."""
    speeds = {
        path: {str(tokens): _median([each[tokens] for each in rounds]) for tokens in LENGTHS}
        for path, rounds in measured.items()
    }
    ratios = {
        path: {
            str(tokens): median(
                ours[tokens].p50_ms / theirs[tokens].p50_ms
                for ours, theirs in zip(measured["static"], rounds, strict=True)
            )
            for tokens in LENGTHS
        }
        for path, rounds in measured.items()
        if path != "static"
    }
    return Report(machine, len(measured["static"]), speeds, ratios, _goals(speeds["static"]))


def _median(speeds: Sequence[Speed]) -> Speed:
    return Speed(
        p50_ms=median(each.p50_ms for each in speeds),
        p99_ms=median(each.p99_ms for each in speeds),
        per_s=median(each.per_s for each in speeds),
    )


def _goals(static: Mapping[str, Speed]) -> list[Goal]:
    short, long = static["50"], static["200"]
    return [
        Goal("p50 at 50 tokens, at most 1 ms", short.p50_ms, short.p50_ms <= 1),
        Goal("p50 at 200 tokens, at most 2 ms", long.p50_ms, long.p50_ms <= 2),
        Goal("prompts of 50 tokens a second in batches, at least 3,000", short.per_s, short.per_s >= 3_000),
    ]


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def as_markdown(found: Report) -> str:
    return "\n".join([*_speed_table(found), "", *_targets(found), "", *_machine_lines(found)])


def _speed_table(found: Report) -> list[str]:
    head = ["path", *(f"{tokens} tokens: {what}" for tokens in LENGTHS for what in ("p50 ms", "p99 ms", "a second"))]
    head += [f"`static` to it at {tokens}" for tokens in LENGTHS]
    return table([head, *(_row(found, path) for path in found.speeds)])


def _row(found: Report, path: str) -> list[str]:
    cells = [_PATHS[path]]
    for speed in found.speeds[path].values():
        cells += [f"{speed.p50_ms:.2f}", f"{speed.p99_ms:.2f}", f"{speed.per_s:,.0f}"]
    ratios = found.ratios.get(path)
    return [*cells, *(["1", "1"] if ratios is None else [f"{ratio:.2g}" for ratio in ratios.values()])]


def _targets(found: Report) -> list[str]:
    return goals_table("target of `static` on one core", found.goals)


def _machine_lines(found: Report) -> list[str]:
    return [
        f"One core; medians of {found.rounds} rounds in turns. p50 and p99 of one prompt at a time, all included;",
        f"prompts a second in batches of {BATCH}. The last columns are ratios of p50 within a round.",
        *machine_lines(found.machine),
    ]
