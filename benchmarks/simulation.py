"""How near the default policy comes to the optimum: `python -m benchmarks.simulation [--traces N] [--first-seed S]`.

Made traces of 100 experts, each from its own seed: all kinds, with loads, sizes, load times and budgets drawn as
`drawn_case` says. Each is run twice: with the maximum wait that is proposed for it, and with one that is asked for.
Out: tables with medians and ranges, and for each target of the project whether it holds. Exit 0 where all was
measured, 1 where not.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.machine import Machine, describe_machine
from benchmarks.markdown import Goal, goals_table, machine_lines, table
from benchmarks.programs import say
from benchmarks.running import run
from workers.errors import SimulationError
from workers.simulator.comparison import TO_BASELINE, TO_OPTIMUM, Case, compare
from workers.simulator.generators import KINDS, Kind, TraceSpec, make_experts, make_trace
from workers.simulator.results import BASELINE, DEFAULT, Comparison

EXPERTS = 100
ASKED_S = (60.0, 120.0, 300.0)
_FIRST_SEED = 1000  # those below are for trying things out
_PACKAGES = ("coe", "numpy")


@dataclass(frozen=True, slots=True)
class Measured:
    """One trace: with the maximum wait proposed for it, and with one of `ASKED_S`."""

    kind: Kind
    proposed: Comparison
    asked: Comparison


@dataclass(frozen=True, slots=True)
class Report:
    measured: Sequence[Measured]
    machine: Machine


def drawn_case(kind: Kind, seed: int, requests: int) -> Case:
    """Of 100 experts 4 to 20 of mean size fit the device; services take 10 % to 70 % of its time.

    Host memory holds all experts in two of three traces, else 30 % to 80 % of their bytes.
    """
    random = np.random.default_rng(seed)
    experts = make_experts(EXPERTS, seed, spread=float(random.choice([0.0, 0.2, 0.4])))
    total = sum(cost.size for cost in experts.values())
    largest = max(cost.size for cost in experts.values())
    service_s = float(np.exp(random.uniform(np.log(0.1), np.log(1.0))))
    spec = TraceSpec(
        requests=requests,
        rate=float(random.uniform(0.1, 0.7)) / service_s,
        service_s=service_s,
        exponent=float(random.uniform(0.6, 1.2)),
    )
    held = 1.05 if random.random() < 2 / 3 else float(random.uniform(0.3, 0.8))
    return Case(
        requests=make_trace(kind, list(experts), spec, seed),
        experts=experts,
        device_bytes=max(largest, round(float(random.uniform(4, 20)) * total / EXPERTS)),
        host_bytes=round(held * total),
    )


def measure(traces: int, first_seed: int, requests: int) -> Report:
    machine = describe_machine(_PACKAGES)
    measured = []
    for number in range(traces):
        kind, asked = KINDS[number % len(KINDS)], ASKED_S[number // len(KINDS) % len(ASKED_S)]
        case = drawn_case(kind, first_seed + number, requests)
        measured.append(Measured(kind, compare(case), compare(case, asked)))
        one = measured[-1]
        say(
            f"{number + 1}/{traces} {kind}: {one.proposed.max_wait_s:g} s {one.proposed.to_optimum:.3f} "
            f"{one.proposed.to_baseline:.3f}; asked {asked:g}, held {one.asked.max_wait_s:g} s "
            f"{one.asked.to_optimum:.3f} {one.asked.to_baseline:.3f}"
        )
    return Report(measured, machine)


def as_markdown(report: Report) -> str:
    count = len(report.measured)
    sections = [(f"proposed maximum wait, {count} traces", [one.proposed for one in report.measured])]
    held = [one.asked for one in report.measured if one.asked.max_wait_s == one.asked.asked_max_wait_s]
    longer = [one.asked for one in report.measured if one.asked.max_wait_s != one.asked.asked_max_wait_s]
    sections += [(f"asked maximum wait, held: {len(held)}", held)]
    sections += [(f"asked maximum wait, not held, the first that was: {len(longer)}", longer)]
    lines: list[str] = []
    for title, comparisons in sections:
        if comparisons:
            lines += [*table([(title, "median", "lowest", "highest"), *_rows(comparisons)]), ""]
    kinds = [
        (kind, *_spread([one.proposed.to_optimum for one in report.measured if one.kind == kind]))
        for kind in KINDS
        if any(one.kind == kind for one in report.measured)
    ]
    lines += [*table([("load seconds / optimum, by kind, proposed", "median", "lowest", "highest"), *kinds]), ""]
    return "\n".join([*lines, *goals_table("target", _goals(report)), "", *machine_lines(report.machine)])


def _rows(comparisons: Sequence[Comparison]) -> Iterator[tuple[str, ...]]:
    yield ("load seconds / optimum", *_spread([one.to_optimum for one in comparisons]))
    yield ("load seconds / FCFS+LRU", *_spread([one.to_baseline for one in comparisons]))
    yield ("maximum wait, given and held, s", *_spread([one.max_wait_s for one in comparisons], ".0f"))
    for name in (DEFAULT, BASELINE):
        figures = [one.policies[name] for one in comparisons]
        yield (f"{name}: mean wait, s", *_spread([one.wait_s.mean for one in figures], ".1f"))
        yield (f"{name}: longest wait, s", *_spread([one.wait_s.max for one in figures], ".0f"))
        yield (f"{name}: makespan, s", *_spread([one.makespan_s for one in figures], ".0f"))


def _spread(values: Sequence[float], figure: str = ".3f") -> tuple[str, str, str]:
    return (format(float(np.median(values)), figure), format(min(values), figure), format(max(values), figure))


def _goals(report: Report) -> list[Goal]:
    goals = []
    for title, comparisons in (
        ("proposed", [one.proposed for one in report.measured]),
        ("asked", [one.asked for one in report.measured]),
    ):
        optimum = float(np.median([one.to_optimum for one in comparisons]))
        baseline = float(np.median([one.to_baseline for one in comparisons]))
        over = max(one.policies[DEFAULT].wait_s.max - one.max_wait_s for one in comparisons)
        goals += [
            Goal(f"{title}: load seconds / optimum, median, at most {TO_OPTIMUM}", optimum, optimum <= TO_OPTIMUM),
            Goal(f"{title}: load seconds / FCFS+LRU, median, at most {TO_BASELINE}", baseline, baseline <= TO_BASELINE),
            Goal(f"{title}: longest wait less its bound, s, at most 0", over, over <= 1e-9),
        ]
    return goals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--traces", type=int, default=100)
    parser.add_argument("--requests", type=int, default=5_000, help="of each trace")
    parser.add_argument("--first-seed", type=int, default=_FIRST_SEED)
    wanted = parser.parse_args()
    return run(lambda: measure(wanted.traces, wanted.first_seed, wanted.requests), as_markdown, (SimulationError,))


if __name__ == "__main__":
    sys.exit(main())
