"""Costs of plans in, the published figures out: medians, ratios between ways, targets, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles

import orjson

from benchmarks.machine import Machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table

ONE_CALL = "the plan, samples in one engine request"
SEPARATE = "a client, samples one after another"
TOGETHER = "a client, samples at the same time"
ONE_EXPERT = "one expert, to its first token"
FIRST_SIGN = "the plan, to its first progress"
FIRST_TOKEN = "the plan, to its first token"
FASTER, OVERHEAD_MS = 1.8, 5.0


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one answer: wall time, and tokens of all its calls."""

    seconds: float
    prompt_tokens: int
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Measured:
    """With the engine: by way, a cost or a time for every prompt, in the same order."""

    costs: dict[str, list[Cost]]
    seconds: dict[str, list[float]]


@dataclass(frozen=True, slots=True)
class Way:
    """Medians over prompts. `slower`: its time over the plan's for the same prompt."""

    seconds: float
    prompt_tokens: float
    completion_tokens: float
    slower: float


@dataclass(frozen=True, slots=True)
class NodeTime:
    """Milliseconds that one node costs the gateway."""

    p50_ms: float
    p99_ms: float


@dataclass(frozen=True, slots=True)
class Report:
    machine: Machine
    prompts: int
    samples: int
    max_tokens: int
    ways: dict[str, Way]
    first_s: dict[str, float]
    nodes: dict[str, NodeTime]
    goals: list[Goal]


def report(
    machine: Machine, samples: int, max_tokens: int, measured: Measured, nodes: Mapping[str, Sequence[float]]
) -> Report:
    """`nodes`: milliseconds per node of every request, by plan; two requests or more."""
    ways = {way: _way(costs, measured.costs[ONE_CALL]) for way, costs in measured.costs.items()}
    times = {
        plan: NodeTime(median(each), quantiles(each, n=100, method="inclusive")[-1]) for plan, each in nodes.items()
    }
    faster = ways[SEPARATE].slower
    worst = max(each.p50_ms for each in times.values())
    goals = [
        Goal(f"times faster than one after another, at least {FASTER}", faster, faster >= FASTER),
        Goal(f"ms of the gateway per node, at most {OVERHEAD_MS:g}", worst, worst <= OVERHEAD_MS),
    ]
    first = {what: median(seconds) for what, seconds in measured.seconds.items()}
    return Report(machine, len(measured.costs[ONE_CALL]), samples, max_tokens, ways, first, times, goals)


def _way(costs: Sequence[Cost], plan: Sequence[Cost]) -> Way:
    return Way(
        seconds=median(cost.seconds for cost in costs),
        prompt_tokens=median(cost.prompt_tokens for cost in costs),
        completion_tokens=median(cost.completion_tokens for cost in costs),
        slower=median(cost.seconds / own.seconds for cost, own in zip(costs, plan, strict=True)),
    )


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def as_markdown(found: Report) -> str:
    ways = [
        [
            way,
            f"{cost.seconds:.2f}",
            f"{cost.prompt_tokens:,.0f}",
            f"{cost.completion_tokens:,.0f}",
            f"{cost.slower:.2f}",
        ]
        for way, cost in found.ways.items()
    ]
    nodes = [[f"`{plan}`", f"{time.p50_ms:.2f}", f"{time.p99_ms:.2f}"] for plan, time in found.nodes.items()]
    lines = [
        *table([[f"Self-MoA, {found.samples} samples", "s", "tokens read", "generated", "time to the plan's"], *ways]),
        "",
        *table([["a stream", "s"], *([what, f"{seconds:.2f}"] for what, seconds in found.first_s.items())]),
        "",
        *table([["gateway alone", "ms a node, p50", "p99"], *nodes]),
        "",
        *goals_table("target", found.goals),
        "",
        f"Medians over {found.prompts} prompts, {found.max_tokens} tokens a generation, the aggregation included; the",
        "ratio is taken prompt by prompt. Tokens are as engines count them: a prompt once for each engine request.",
        *machine_lines(found.machine),
    ]
    return "\n".join(lines)
