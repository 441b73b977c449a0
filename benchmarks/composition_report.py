"""Right and wrong answers in, the table of a composition out: policies by domains, with 95 % intervals.

A policy answers every prompt. Three are computed from the experts' own answers: the map by true category, and the
oracle, which takes an expert that is right wherever there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from benchmarks.intervals import DomainSample, Interval, Scores
from benchmarks.machine import Machine

COE = "coe"
TRUE_CATEGORY = "map by true category"
ORACLE = "oracle"
GAIN_POINTS = 15.0
TRUE_CATEGORY_POINTS = 3.0


@dataclass(frozen=True, slots=True)
class Measured:
    """One policy's answers. `right` is 1 or 0 per prompt; None where a figure is not its own."""

    right: Scores
    active_params_b: float | None
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class Row:
    policy: str
    domains: Mapping[str, Interval]
    macro: Interval
    active_params_b: float | None
    tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class Goal:
    """A target of the project and what was measured."""

    text: str
    measured: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Report:
    machine: Machine
    prompts: Mapping[str, int]
    rows: Sequence[Row]
    best_single: str
    gain: Interval
    loss_to_true_category: Interval
    routing_accuracy: Mapping[str, float]
    goals: Sequence[Goal]


def report(
    machine: Machine, domains: Sequence[str], measured: Mapping[str, Measured], routed_right: Scores, seed: int = 0
) -> Report:
    """The report over prompts whose domains are `domains`.

    Args:
        machine: what the answers were computed on.
        domains: one name per prompt.
        measured: by policy; `coe`, the map by true category and the oracle are among them, all others are experts.
        routed_right: 1 where `coe` chose the expert of the prompt's domain, else 0.
        seed: of the bootstrap.
    """
    sample = DomainSample(domains, seed)
    rows = [
        Row(
            name,
            sample.by_domain(policy.right),
            sample.macro(policy.right),
            policy.active_params_b,
            policy.tokens_per_s,
        )
        for name, policy in measured.items()
    ]
    macro = {row.policy: row.macro for row in rows}
    single = max(
        (row for row in rows if row.policy not in {COE, TRUE_CATEGORY, ORACLE}), key=lambda row: row.macro.mean
    )
    gain = sample.macro(measured[COE].right - measured[single.policy].right)
    loss = sample.macro(measured[TRUE_CATEGORY].right - measured[COE].right)
    apart = macro[COE].low > single.macro.high
    goals = [
        Goal(
            f"coe beats the best single expert ({single.policy}) by at least {GAIN_POINTS:g} points, intervals apart",
            f"{gain}, intervals {'apart' if apart else 'overlap'}",
            gain.mean >= GAIN_POINTS and apart,
        ),
        Goal(
            f"coe is within {TRUE_CATEGORY_POINTS:g} points of the map by true category",
            str(loss),
            loss.mean <= TRUE_CATEGORY_POINTS,
        ),
    ]
    accuracy = {name: float(routed_right[places].mean()) for name, places in sample.places.items()}
    counts = {name: len(places) for name, places in sample.places.items()}
    return Report(machine, counts, rows, single.policy, gain, loss, accuracy, goals)


def as_markdown(found: Report) -> str:
    """The table, the routing accuracy and the targets, for people."""
    names = list(found.prompts)
    header = ["policy", *(f"{name} (n = {found.prompts[name]})" for name in names)]
    header += ["macro average", "active parameters, B", "tokens/s"]
    lines = [_line(header), _line(["---"] + ["---:"] * (len(header) - 1))]
    lines += [_line(_cells(row, names)) for row in found.rows]
    accuracy = ", ".join(f"{name} {share:.3f}" for name, share in found.routing_accuracy.items())
    mean = sum(found.routing_accuracy.values()) / len(found.routing_accuracy)
    lines += ["", f"Routing accuracy {mean:.3f}: {accuracy}."]
    lines += [f"{'holds' if goal.holds else 'MISSED'}: {goal.text}: {goal.measured}" for goal in found.goals]
    machine = found.machine
    lines += [
        "",
        f"{machine.cores} cores of {machine.cpu}, {machine.memory_gib} GiB; {machine.busy_before:.0%} busy before.",
    ]
    return "\n".join(lines)


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    active = "" if row.active_params_b is None else f"{row.active_params_b:.4f}"
    speed = "" if row.tokens_per_s is None else f"{row.tokens_per_s:.0f}"
    return [row.policy, *(str(row.domains[name]) for name in names), str(row.macro), active, speed]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()
