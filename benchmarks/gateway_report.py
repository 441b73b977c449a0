"""Rounds of load in, the published figures out: medians, what each service adds to the stub, targets, tables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import orjson

from benchmarks.load import Result
from benchmarks.machine import Machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table

MANY = 16
_UNMEASURABLE_MS = 0.05
"""Differences below this, between means of 63 gaps of 2 ms, are scheduling noise on a shared machine."""


@dataclass(frozen=True, slots=True)
class Round:
    """One target in one round: one connection, many, one stream after another."""

    one: Result
    many: Result
    stream: Result


@dataclass(frozen=True, slots=True)
class Figures:
    """One target over all rounds; medians. What is `added` is the difference to the stub in the same round."""

    p50_ms: float
    p99_ms: float
    added_p50_ms: float
    requests_per_s: float
    first_token_ms: float
    added_first_token_ms: float
    added_per_token_ms: float
    client_cpu: float


@dataclass(frozen=True, slots=True)
class Report:
    machine: Machine
    litellm_version: str
    rounds: int
    figures: dict[str, Figures]
    goals: list[Goal]


def report(machine: Machine, litellm_version: str, measured: Mapping[str, Sequence[Round]]) -> Report:
    """From the rounds of `direct`, `coe` and `litellm`."""
    direct = measured["direct"]
    figures = {name: _figures(rounds, direct) for name, rounds in measured.items()}
    return Report(machine, litellm_version, len(direct), figures, _goals(figures["coe"], figures["litellm"]))


def _figures(rounds: Sequence[Round], direct: Sequence[Round]) -> Figures:
    def added(value: Callable[[Round], float]) -> float:
        return median(value(ours) - value(bare) for ours, bare in zip(rounds, direct, strict=True))

    return Figures(
        p50_ms=median(each.one.p50_ms for each in rounds),
        p99_ms=median(each.one.p99_ms for each in rounds),
        added_p50_ms=added(lambda each: each.one.p50_ms),
        requests_per_s=median(each.many.per_s for each in rounds),
        first_token_ms=median(each.stream.first_token_p50_ms for each in rounds),
        added_first_token_ms=added(lambda each: each.stream.first_token_p50_ms),
        added_per_token_ms=added(lambda each: each.stream.token_gap_p50_ms),
        client_cpu=max(each.many.client_cpu for each in rounds),
    )


def _goals(coe: Figures, litellm: Figures) -> list[Goal]:
    share = coe.added_p50_ms / litellm.added_p50_ms
    times = coe.requests_per_s / litellm.requests_per_s
    return [
        Goal("added p50 at 1 connection, at most 3 ms", coe.added_p50_ms, coe.added_p50_ms <= 3),
        Goal("the same as a share of LiteLLM's, at most 1/5", share, share <= 1 / 5),
        Goal(f"requests/s at {MANY} connections over LiteLLM's, at least 6", times, times >= 6),
        Goal("added time to first token, at most 5 ms", coe.added_first_token_ms, coe.added_first_token_ms <= 5),
        Goal(
            f"added time per token, none to measure (below {_UNMEASURABLE_MS} ms)",
            coe.added_per_token_ms,
            coe.added_per_token_ms < _UNMEASURABLE_MS,
        ),
    ]


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def as_markdown(found: Report) -> str:
    return "\n".join([*_figures_table(found), "", *_targets(found), "", *_machine_lines(found)])


def _figures_table(found: Report) -> list[str]:
    head = (
        "path",
        "p50 ms",
        "p99 ms",
        "added p50 ms",
        f"requests/s at {MANY}",
        "first token ms",
        "added to it ms",
        "added per token ms",
        "client's CPU",
    )
    names = {"direct": "stub alone", "coe": "coe", "litellm": f"LiteLLM {found.litellm_version}"}
    rows = [
        (
            names[name],
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
            f"{each.added_p50_ms:.2f}",
            f"{each.requests_per_s:,.0f}",
            f"{each.first_token_ms:.2f}",
            f"{each.added_first_token_ms:.2f}",
            f"{each.added_per_token_ms:.3f}",
            f"{each.client_cpu:.0%}",
        )
        for name, each in found.figures.items()
    ]
    return table([head, *rows])


def _targets(found: Report) -> list[str]:
    return goals_table("target on two cores", found.goals, ".3g")


def _machine_lines(found: Report) -> list[str]:
    return [
        f"Medians of {found.rounds} rounds in turns. p50, p99 and tokens at one connection.",
        f"The client's CPU is its share of one core at {MANY} connections.",
        *machine_lines(found.machine),
    ]
