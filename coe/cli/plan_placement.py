"""`coe plan-placement`: in come demand, sizes and workers, out comes which experts start on which workers."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from rich.table import Table

    from workers.placement.plan import Plan


def plan_placement(  # noqa: PLR0917 - typer fills them by name
    problem: Annotated[
        Path | None,
        typer.Argument(metavar="[PROBLEM]", help="YAML or JSON, as below; with --config what it leaves out."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option("--config", help="A service: its worker groups, and its models with their experts.")
    ] = None,
    demand: Annotated[
        Path | None, typer.Option("--demand", help="With --config, YAML or JSON: {EXPERT: requests a second}.")
    ] = None,
    slack: Annotated[
        float, typer.Option("--slack", min=0, max=1, help="Part of the maximum load that better later aims may cost.")
    ] = 0.05,
    time_limit: Annotated[float, typer.Option("--time-limit", min=0.1, help="Longest search, seconds.")] = 60.0,
    as_json: JsonOption = False,
) -> None:
    """Plan which experts start on which workers, with copies of hot ones.

    Minimised, one after the other: the maximum load of a device; seconds spent loading what is off-device; plans whose
    experts are on several workers; bytes to load beyond what runs now; copies.

    \b
    workers:
      node: {devices: 8, device_gb: 72, host_gb: 500}   # of each device
      edge: {replicas: 2, device_gb: 24}                # edge-0 and edge-1
    experts:
      coder: {size_gb: 15, requests_per_s: 1.5, service_s: 0.5,
              load_s: {host: 0.6, disk: 3}}             # without it: must be resident
      other: {size_gb: 9, requests_per_s: 0.1, service_s: 0.3}
      large: {size_gb: 141, devices: 2, requests_per_s: 0.4, service_s: 2,
              min_replicas: 1}   # also max_replicas, workers, pinned: lists
    co_use: \\[{experts: \\[coder, large], weight: 0.2}]    # plans a second that ask both
    exclusive: \\[{experts: \\[coder, other]}]             # never both on a worker
    present: {edge-0: \\[coder]}                          # what runs now
    """  # noqa: D301 - the mark of lines to keep, and brackets that are no markup
    import orjson
    from rich.console import Console

    from coe.config.load import load_config
    from coe.errors import InputError
    from coe.placement.from_config import read_demand, service_problem
    from coe.placement.problem_file import as_problem, parse, read_tree
    from workers.placement.planner import plan

    if problem is None and config is None:
        raise InputError("Name what to place: a problem file, or `--config CONFIG` with `--demand F`; see --help.")
    if config is None and demand is not None:
        raise InputError("--demand is for the experts of --config; a problem file has `requests_per_s` itself.")
    raw = None if problem is None else read_tree(problem)
    members: Mapping[str, list[str]] = {}
    elsewhere: list[str] = []
    if config is not None:
        asked = None if demand is None else read_demand(demand)
        service = service_problem(load_config(config), asked, raw)
        raw, members, elsewhere = service.raw, service.members, service.elsewhere
    assert raw is not None
    file = parse(raw)
    found = plan(as_problem(file, members), slack=slack, time_limit_s=time_limit)
    if as_json:
        typer.echo(orjson.dumps(figures(found, members, file.timed), option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(table(found, members))
    for line in remarks(found, file.timed, elsewhere):
        typer.echo(line, err=True)


def figures(found: Plan, members: Mapping[str, list[str]], timed: bool) -> Mapping[str, object]:
    """What `--json` prints. Sizes are in bytes."""
    return {
        "load_unit": "seconds a second" if timed else "requests a second",
        "maximum_load": found.maximum_load,
        "proven": found.proven,
        "replicas": found.replicas,
        "members": members,
        "copies": found.copies,
        "off_device": found.off_device,
        "devices": found.devices,
        "criteria": [
            {"name": one.name, "value": one.value, "best": one.best, "bound": one.bound, "gap": one.gap}
            for one in found.criteria
        ],
    }


def table(found: Plan, members: Mapping[str, list[str]]) -> Table:
    """One row a device."""
    from rich.table import Table

    several = any(use.device for use in found.devices)
    shown = Table(title="Placement", caption=_caption(found), caption_justify="left")
    shown.add_column("worker")
    shown.add_column("experts (share of requests, where copies share them)")
    for column in ("used", "of", "load"):
        shown.add_column(column, justify="right")
    for use in found.devices:
        here = [one for one in found.copies if one.worker == use.worker and use.device in one.devices]
        names = (
            _named(copy.expert, members) + (f" ({copy.share:.0%})" if copy.share < 0.9995 else "") for copy in here
        )
        swapped = (
            f"[dim]{_named(off.expert, members)}: off-device, from {off.tier}[/dim]"
            for off in found.off_device
            if off.worker == use.worker and use.device in off.devices
        )
        shown.add_row(
            f"{use.worker} {use.device}" if several else use.worker,
            "\n".join([*names, *swapped]) or "-",
            f"{use.used / 1e9:.1f} GB",
            f"{use.budget / 1e9:.1f} GB",
            f"{use.load:.3f}",
        )
    return shown


def _named(name: str, members: Mapping[str, list[str]]) -> str:
    experts = members.get(name, [name])
    return name if experts == [name] else f"{name}: {', '.join(experts)}"


def _caption(found: Plan) -> str:
    first = found.criteria[0]
    load = f"Maximum load {found.maximum_load:.3f}, the least found {first.best:.3f}."
    return f"{load} Copies beyond the first of an expert: {found.replicas}."


def remarks(found: Plan, timed: bool, elsewhere: Iterable[str]) -> list[str]:
    """What a person should know beside the table."""
    lines = [
        f"{one.expert} is off-device: swapped in on {one.worker} from {one.tier}, {one.loading:.3g} s of loading a "
        "second where every request needs a load"
        for one in found.off_device
    ]
    if not timed:
        lines.append("loads are requests a second; with `service_s` of all experts they are shares of a device's time")
    elif found.maximum_load > 1.000_001:  # the solver's tolerance
        lines.append(
            f"the maximum load is {found.maximum_load:.2f}: there is more work than time, requests will pile up"
        )
    lines += [
        f"not proven: {one.name} {one.best:.4g} may be up to {one.gap:.1%} above the least; give --time-limit more"
        for one in found.criteria
        if one.gap > 1e-6
    ]
    if served := ", ".join(elsewhere):
        lines.append(f"left out, because a server with a `url` has them: {served}")
    return lines
