"""`coe simulate`: in come a trace, experts and budgets, out come what policies make of them and the optimum."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from rich.table import Table

    from workers.simulator.comparison import Case
    from workers.simulator.proposals import Proposal, Tried
    from workers.simulator.results import Comparison

_WIDTH = 110  # columns that the tables need


def simulate(  # noqa: PLR0917 - typer fills them by name
    trace: Annotated[
        Path,
        typer.Argument(
            metavar="TRACE", help='JSON lines, plain or .gz: {"t": seconds, "expert": name, "service_s": seconds}.'
        ),
    ],
    experts: Annotated[
        Path,
        typer.Option("--experts", help='JSON: {name: {"size_gb": x, "load_s": {"host": seconds, "disk": seconds}}}.'),
    ],
    device_gb: Annotated[
        float, typer.Option("--device-gb", help="Device memory that weights may take, in 10^9 bytes.")
    ],
    host_gb: Annotated[float, typer.Option("--host-gb", help="Host memory that copies may take, in 10^9 bytes.")],
    max_wait: Annotated[
        float | None,
        typer.Option("--max-wait", metavar="S", help="Seconds that no request shall wait longer. Default: proposed."),
    ] = None,
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", metavar="NAME", help="More policies to show beside default and fcfs-lru: worker."),
    ] = None,
    as_json: JsonOption = False,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: .svg or .png.")] = None,
    propose: Annotated[
        bool, typer.Option("--propose", help="Print settings for this trace and the figures that speak for them.")
    ] = False,
) -> None:
    """What a policy of expert memory makes of a trace, beside FCFS with LRU and the least loading possible.

    One device serves one request at a time; a load takes it up; copies from disk to host memory run beside it.

    All is on disk at the first arrival. A request waits from its arrival to the start of its service.

    The default policy lets requests for an expert wait for each other: the longer the maximum wait, the fewer loads.

    Without --max-wait: the shortest of 15 s to 1 h that halves the loading of FCFS and is within 1.25 optima.

    A --max-wait that the device cannot keep up with gives way to the first longer one that it holds, and says so.

    Optimum: of all schedules that keep the maximum wait; exact to 10 requests for 5 experts, else a proven lower bound.

    First steps: `coe make-trace zipf t.jsonl --experts e.json`, then the same files here with 112 and 2000 GB.
    """
    import orjson
    from rich.console import Console

    from workers.simulator.comparison import compare
    from workers.simulator.plot import check_plot_path, write_plot
    from workers.simulator.proposals import propose as propose_settings

    if plot is not None:
        check_plot_path(plot)
    case = _case(trace, experts, device_gb, host_gb)
    comparison = compare(case, _checked_wait(max_wait), _checked_names(policy or ()))
    for line in remarks(comparison):
        typer.echo(line, err=True)
    if plot is not None:
        write_plot(plot, comparison)
    if as_json:
        typer.echo(orjson.dumps(comparison.to_json(), option=orjson.OPT_INDENT_2).decode())
        return
    console = Console()
    console.width = max(_WIDTH, console.width)
    console.print(comparison_table(comparison))
    if propose:
        for table in proposal_tables(propose_settings(case, max_wait)):
            console.print(table)


def remarks(comparison: Comparison) -> Iterable[str]:
    """What the reader must know of the maximum wait."""
    held, asked = comparison.max_wait_s, comparison.asked_max_wait_s
    if asked is None:
        yield f"No --max-wait: {held:g} s is proposed for this trace and held."
    elif held > asked:
        yield (
            f"A maximum wait of {asked:g} s cannot be held on this trace: requests ask for more than the device does "
            f"in time. Taken instead and held: {held:g} s."
        )


def comparison_table(comparison: Comparison) -> Table:
    """One row a policy, and the optimum."""
    from rich.table import Table

    from workers.simulator.results import BASELINE, ratio

    heads = ("loads", "loading", "/ optimum", "/ fcfs-lru", "mean", "p50", "p95", "p99", "max wait", "makespan")
    title = f"Seconds of loading and of waiting; maximum wait {comparison.max_wait_s:g} s"
    table = Table("policy", title=title, collapse_padding=True)
    for head in heads:
        table.add_column(head, justify="right")
    optimum, baseline = comparison.optimum.load_seconds, comparison.policies[BASELINE].load_seconds
    for name, figures in comparison.policies.items():
        wait = figures.wait_s
        table.add_row(
            name,
            str(figures.loads),
            f"{figures.load_seconds:.1f}",
            f"{ratio(figures.load_seconds, optimum):.2f}",
            f"{ratio(figures.load_seconds, baseline):.2f}",
            *(f"{value:.1f}" for value in (wait.mean, wait.p50, wait.p95, wait.p99, wait.max, figures.makespan_s)),
        )
    kind = "optimum" if comparison.optimum.kind == "exact" else "bound"
    table.add_row(kind, "", f"{optimum:.1f}", "1.00", f"{ratio(optimum, baseline):.2f}")
    return table


def proposal_tables(proposal: Proposal) -> Iterable[Table]:
    """A table a setting; the proposed values are in the titles."""
    yield _tried_table(f"Proposed: maximum wait {proposal.max_wait_s:g} s", "maximum wait s", proposal.max_waits, 1)
    yield _tried_table(
        f"Device memory, with a quantum of {proposal.quantum_s:g} s where swaps shall save waiting",
        "device GB",
        proposal.device,
        1e9,
    )
    yield _tried_table("Host memory: a quarter, a half, all of the experts", "host GB", proposal.host, 1e9)


def _tried_table(title: str, head: str, tried: Sequence[Tried], unit: float) -> Table:
    from rich.table import Table

    table = Table(title=title)
    for column in (head, "loads", "loading s", "mean wait s", "p95 wait s", "max wait s", "makespan s"):
        table.add_column(column, justify="right")
    for one in tried:
        wait = one.figures.wait_s
        shown = (one.figures.load_seconds, wait.mean, wait.p95, wait.max, one.figures.makespan_s)
        table.add_row(f"{one.value / unit:g}", str(one.figures.loads), *(f"{value:.1f}" for value in shown))
    return table


def _case(trace: Path, experts: Path, device_gb: float, host_gb: float) -> Case:
    from coe.errors import InputError
    from workers.simulator.comparison import Case
    from workers.simulator.run import check_fits
    from workers.simulator.trace import GB, read_experts, read_trace

    for option, value in (("--device-gb", device_gb), ("--host-gb", host_gb)):
        if not (math.isfinite(value) and value >= 0):
            raise InputError(f"{option} must be at least 0 and finite, not {value}")
    known = read_experts(experts)
    case = Case(
        requests=read_trace(trace, known),
        experts=known,
        device_bytes=round(device_gb * GB),
        host_bytes=round(host_gb * GB),
    )
    check_fits(case.requests, case.experts, case.device_bytes)
    return case


def _checked_wait(max_wait: float | None) -> float | None:
    from coe.errors import InputError

    if max_wait is not None and not (math.isfinite(max_wait) and max_wait > 0):
        raise InputError(f"--max-wait must be above 0 and finite, not {max_wait}")
    return max_wait


def _checked_names(names: Sequence[str]) -> Sequence[str]:
    from coe.errors import InputError
    from workers.simulator.comparison import POLICIES

    for name in names:
        if name not in POLICIES:
            raise InputError(f"There is no policy {name!r}: choose among {', '.join(POLICIES)}")
    return names
