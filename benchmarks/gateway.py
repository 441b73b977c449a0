"""What the gateway costs: `python -m benchmarks.gateway [--seconds S] [--rounds N] [--json]`.

A stub that answers at once is loaded directly, through `coe serve` with routing on, and through LiteLLM's proxy, in
turns and by one client, so that what disturbs one disturbs all. Out: a table (or JSON) with medians over the rounds,
the machine, and for each target of the project whether it holds. Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import random
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks import stub_upstream
from benchmarks.coe_service import coe
from benchmarks.gateway_report import MANY, Report, Round, as_json, as_markdown, report
from benchmarks.litellm_proxy import VERSION, install, litellm
from benchmarks.load import Job, LoadError, run_load
from benchmarks.machine import describe_machine
from benchmarks.programs import Program, ProgramError, free_port, running, say
from benchmarks.running import run
from routers.prompts import read_prompts

_PROMPTS = Path(__file__).parents[1] / "configs" / "router-data" / "heldout"
_WARM_UP_S = 2.0


@dataclass(frozen=True, slots=True)
class Target:
    """A server to load and the model name to ask it for."""

    name: str
    port: int
    model: str


@dataclass(frozen=True, slots=True)
class Load:
    """How every target is loaded; `key` is LiteLLM's, and is shown to all."""

    prompts: Sequence[str]
    seconds: float
    key: str

    def job(self, target: Target, connections: int, *, stream: bool = False) -> Job:
        return Job(target.port, target.model, self.prompts, connections, self.seconds, self.key, stream)


def measure(seconds: float, rounds: int, litellm_version: str) -> Report:
    """Starts everything, measures, stops everything. Raises ProgramError or LoadError."""
    environment = install(litellm_version)
    machine = describe_machine()
    load = Load(_prompts(), seconds, f"sk-{secrets.token_hex(32)}")
    with _targets(environment, load.key) as targets:
        for target in targets:
            say(f"warming {target.name}")
            run_load(Load(load.prompts, _WARM_UP_S, load.key).job(target, MANY))
        measured: dict[str, list[Round]] = {target.name: [] for target in targets}
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for target in targets:
                measured[target.name].append(_round(load, target))
    return report(machine, litellm_version, measured)


def _round(load: Load, target: Target) -> Round:
    return Round(
        one=run_load(load.job(target, 1)),
        many=run_load(load.job(target, MANY)),
        stream=run_load(load.job(target, 1, stream=True)),
    )


@contextmanager
def _targets(environment: Path, key: str) -> Iterator[list[Target]]:
    """The stub itself, and the two services in front of it."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="coe-benchmark-")))
        stub_port, coe_port, litellm_port = free_port(), free_port(), free_port()
        stub = Program(
            name="stub",
            command=stub_upstream.command(stub_port),
            ready_url=f"http://127.0.0.1:{stub_port}/health",
        )
        for program in (
            stub,
            coe(folder / "coe.yaml", coe_port, stub_port),
            litellm(environment, folder / "litellm.yaml", litellm_port, stub_port, key),
        ):
            stack.enter_context(running(program, folder))
        yield [
            Target("direct", stub_port, stub_upstream.MODEL),
            Target("coe", coe_port, "coe"),
            Target("litellm", litellm_port, stub_upstream.MODEL),
        ]
        say("stopping")


def _prompts() -> list[str]:
    """The router's held-out prompts, of all categories and of none, in a fixed random order."""
    prompts = [row.text for row in read_prompts(sorted(_PROMPTS.glob("*.jsonl")))]
    random.Random(0).shuffle(prompts)
    return prompts


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3.0, help="of each of the nine measurements of a round")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--litellm-version", default=VERSION, metavar="V")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    given = parser.parse_args()
    show = as_json if given.json else as_markdown
    return run(lambda: measure(given.seconds, given.rounds, given.litellm_version), show, (ProgramError, LoadError))


if __name__ == "__main__":
    sys.exit(main())
