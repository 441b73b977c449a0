"""`coe make-trace`: in come a kind of trace and a seed, out come a trace, and experts where there were none."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Literal

import typer


def make_trace(  # noqa: PLR0917 - typer fills them by name
    kind: Annotated[
        Literal["zipf", "drift", "bursts", "moa"],
        typer.Argument(
            help="zipf: steady popularity. drift: popularity moves on. bursts: minutes in which one expert is asked "
            "for. moa: prompts that several experts answer at once."
        ),
    ],
    trace: Annotated[Path, typer.Argument(metavar="TRACE", help="Where to write it: .jsonl or .jsonl.gz.")],
    experts: Annotated[
        Path, typer.Option("--experts", help="The experts to ask for; made and written where there is no such file.")
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="How many experts to make.")] = 100,
    size_gb: Annotated[float, typer.Option("--size-gb", help="Mean size of the experts to make.")] = 14.0,
    requests: Annotated[int, typer.Option("--requests", min=1, help="How many requests.")] = 10_000,
    rate: Annotated[float, typer.Option("--rate", help="Requests a second.")] = 1.0,
    service: Annotated[float, typer.Option("--service", metavar="S", help="Mean seconds of service.")] = 0.5,
    exponent: Annotated[float, typer.Option("--exponent", help="Of Zipf's law; 0: all as popular.")] = 1.0,
    fan_out: Annotated[int, typer.Option("--fan-out", min=1, help="Of moa: experts a prompt.")] = 3,
    merge_after: Annotated[
        float | None,
        typer.Option("--merge-after", metavar="S", help="Of moa: one more expert is asked S later, as was announced."),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed makes the same files.")] = 0,
) -> None:
    """Make a trace for `coe simulate`."""
    from coe.errors import InputError
    from workers.simulator import generators
    from workers.simulator.trace import read_experts, write_experts, write_trace

    above_zero = {"--rate": rate, "--service": service, "--size-gb": size_gb}
    for option, value in above_zero.items():
        if not (math.isfinite(value) and value > 0):
            raise InputError(f"{option} must be above 0 and finite, not {value}")
    if merge_after is not None and not (math.isfinite(merge_after) and merge_after >= 0):
        raise InputError(f"--merge-after must be at least 0 and finite, not {merge_after}")
    if not (math.isfinite(exponent) and exponent >= 0):
        raise InputError(f"--exponent must be at least 0 and finite, not {exponent}")
    known = experts.exists()
    costs = read_experts(experts) if known else generators.make_experts(count, seed, size_gb=size_gb)
    asked = fan_out + (merge_after is not None)
    if kind == "moa" and asked > len(costs):
        raise InputError(f"a prompt asks {asked} experts (--fan-out, --merge-after), but there are {len(costs)}")
    spec = generators.TraceSpec(
        requests=requests, rate=rate, service_s=service, exponent=exponent, fan_out=fan_out, merge_after_s=merge_after
    )
    made = generators.make_trace(kind, list(costs), spec, seed)
    try:
        if not known:
            write_experts(experts, costs)
        write_trace(trace, made)
    except OSError as error:
        raise InputError(f"{error.filename} cannot be written: {error.strerror}") from error
    typer.echo(f"{len(made)} requests for {len(costs)} experts in {trace}, experts in {experts}", err=True)
