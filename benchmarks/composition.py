"""What a composition gains over its members: `python -m benchmarks.composition [--url URL] [--rows N] [--json]`.

Held-out prompts of every domain, and general ones, are asked of a running service over HTTP: as `coe`, and of each
expert by its name. Programs check the answers. Out: a table (or JSON) of policies by domains with 95 % intervals,
routing accuracy, and for each target of the project whether it holds. Without --url, `configs/local.yaml` is served for
the time of the measurement. Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from benchmarks.asking import AskingError, Pass, active_params_b, ask_all, wait_until_ready
from benchmarks.coe_service import shipped
from benchmarks.composition_report import (
    COE,
    ORACLE,
    TRUE_CATEGORY,
    Measured,
    Report,
    as_json,
    as_markdown,
    report,
)
from benchmarks.domains.catalogue import DOMAINS
from benchmarks.domains.task import Task
from benchmarks.intervals import Scores
from benchmarks.machine import describe_machine
from benchmarks.programs import ProgramError, free_port, running, say
from benchmarks.running import run

EXPERT_OF = {
    "arithmetic": "arithmetician",
    "sql": "sql-writer",
    "python": "python-writer",
    "extraction": "extractor",
    "general": "generalist",
}
_MAX_TOKENS = 256
_WARM_UP = 16
_TOGETHER = 16


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything that was answered: the passes by model name, and which answers are right."""

    tasks: Sequence[Task]
    passes: Mapping[str, Pass]
    right: Mapping[str, Scores]


def draw(rows: int, seed: int) -> list[Task]:
    """`rows` held-out tasks of every domain."""
    return [task for domain in DOMAINS.values() for task in domain.generate("heldout", rows, seed)]


def ask(url: str, tasks: Sequence[Task]) -> Asked:
    """Every task of `coe` and of every expert. Raises AskingError."""
    prompts = [task.prompt for task in tasks]
    passes: dict[str, Pass] = {}
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        for model in (COE, *EXPERT_OF.values()):
            ask_all(url, model, prompts[:_WARM_UP], max_tokens=8, together=_TOGETHER, progress=lambda _: None)
            bar = bars.add_task(model, total=len(prompts))
            passes[model] = ask_all(
                url, model, prompts, max_tokens=_MAX_TOKENS, together=_TOGETHER, progress=_advance(bars, bar)
            )
    return Asked(tasks, passes, {model: judge(tasks, found) for model, found in passes.items()})


def _advance(bars: Progress, bar: TaskID) -> Callable[[int], None]:
    return lambda done: bars.update(bar, completed=done)


def judge(tasks: Sequence[Task], found: Pass) -> Scores:
    """1 where the domain's program accepts the answer, else 0."""
    pairs = zip(tasks, found.answers, strict=True)
    return np.array([DOMAINS[task.domain].score(task, answer.text) for task, answer in pairs], dtype=np.float64)


def policies(asked: Asked, active: Mapping[str, float]) -> dict[str, Measured]:
    """The rows of the table: `coe`, every expert, and what could be had with perfect routing."""
    own = [EXPERT_OF[task.domain] for task in asked.tasks]
    experts = {name: asked.right[name] for name in EXPERT_OF.values()}
    chosen = [answer.expert for answer in asked.passes[COE].answers]
    return {
        COE: Measured(asked.right[COE], _mean(active, chosen), asked.passes[COE].tokens_per_s),
        **{name: Measured(right, active[name], asked.passes[name].tokens_per_s) for name, right in experts.items()},
        TRUE_CATEGORY: Measured(
            np.array([experts[name][place] for place, name in enumerate(own)]), _mean(active, own), None
        ),
        ORACLE: Measured(np.max(list(experts.values()), axis=0), None, None),
    }


def _mean(active: Mapping[str, float], chosen: Sequence[str]) -> float:
    return float(np.mean([active[name] for name in chosen]))


def measure(url: str, rows: int, seed: int, outcomes: Path | None) -> Report:
    """Ask, judge and report. Raises AskingError."""
    wait_until_ready(url, EXPERT_OF.values())
    active = active_params_b(url)
    if unknown := set(EXPERT_OF.values()) - active.keys():
        raise AskingError(
            f"`active_params_b` is missing for {', '.join(sorted(unknown))}: give it in the configuration"
        )
    machine = describe_machine()
    tasks = draw(rows, seed)
    asked = ask(url, tasks)
    if outcomes:
        write_outcomes(outcomes, asked)
    chosen = {answer.expert for answer in asked.passes[COE].answers}
    if unknown := chosen - set(EXPERT_OF.values()):
        raise AskingError(f"`coe` chose {', '.join(sorted(unknown))}, which are not of this benchmark")
    pairs = zip(tasks, asked.passes[COE].answers, strict=True)
    routed = [answer.expert == EXPERT_OF[task.domain] for task, answer in pairs]
    return report(machine, [task.domain for task in tasks], policies(asked, active), np.array(routed, dtype=np.float64))


def write_outcomes(path: Path, asked: Asked) -> None:
    """Labelled prompts with every expert's outcome and answer, as `coe train-router` and `eval-router` read them."""
    with path.open("wb") as stream:
        for place, task in enumerate(asked.tasks):
            row = {
                "id": task.id,
                "prompt": task.prompt,
                "category": None if task.domain == "general" else task.domain,
                "outcomes": {name: float(asked.right[name][place]) for name in EXPERT_OF.values()},
                "answers": {name: asked.passes[name].answers[place].text for name in EXPERT_OF.values()},
                "routed": asked.passes[COE].answers[place],
                "reference": task.completion,
            }
            stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


@contextmanager
def service(url: str | None) -> Iterator[str]:
    """The service at `url`, or the shipped one for the time of the block."""
    if url:
        yield url.rstrip("/")
        return
    with tempfile.TemporaryDirectory(prefix="coe-benchmark-") as folder:
        port = free_port()
        with running(shipped(Path(folder) / "coe.yaml", port), Path(folder)):
            yield f"http://127.0.0.1:{port}"
            say("stopping")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.composition", description=__doc__.partition("\n")[0])
    parser.add_argument("--url", help="a service that runs already; else configs/local.yaml is served")
    parser.add_argument("--rows", type=int, default=100, help="held-out prompts of each domain")
    parser.add_argument("--seed", type=int, default=0, help="of the prompts drawn")
    parser.add_argument("--outcomes", type=Path, metavar="F", help="write the answers and what they are worth as JSONL")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    given = parser.parse_args()

    def ask() -> Report:
        with service(given.url) as url:
            return measure(url, given.rows, given.seed, given.outcomes)

    return run(ask, as_json if given.json else as_markdown, (ProgramError, AskingError, OSError, ValueError))


if __name__ == "__main__":
    sys.exit(main())
