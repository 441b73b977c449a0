"""`coe plan-memory`: in come a configuration and a machine, out comes what engines take of each GPU."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from coe.cli.arguments import ConfigArgument, JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.table import Table

    from workers.placement.gpu_memory import MemoryPlan


def plan_memory(
    config: ConfigArgument,
    gpus: Annotated[int, typer.Option("--gpus", min=1, max=64, help="GPUs of the machine.")] = 8,
    gpu_gib: Annotated[
        float, typer.Option("--gpu-gib", min=1, help="GiB of each, as its driver says; 80 GB cards have about this.")
    ] = 79.2,
    overhead_gib: Annotated[
        float,
        typer.Option("--overhead-gib", min=0, help="GiB for activations, graphs, communication; an assumption."),
    ] = 5.0,
    as_json: JsonOption = False,
) -> None:
    """Say whether the engines of CONFIG fit the GPUs of one machine, before it is rented.

    For each GPU: the weights there, the overhead, and what is left for the key-value cache, which must hold one request
    of `max_model_len`. Exits with 2 where something does not fit, and says what, where and by how much. Needs neither a
    GPU nor the weights: sizes come from `models.*.shape`, or from checkpoints in local folders.
    """
    import orjson
    from rich.console import Console

    from coe.config.load import load_config
    from coe.placement.memory_plan import gpu_groups
    from workers.placement import gpu_memory
    from workers.placement.gpus import GIB, Machine

    machine = Machine(gpus=gpus, gpu_bytes=round(gpu_gib * GIB), overhead_bytes=round(overhead_gib * GIB))
    found = gpu_memory.plan_memory(gpu_groups(load_config(config)), machine)
    if as_json:
        typer.echo(orjson.dumps(figures(found), option=orjson.OPT_INDENT_2).decode())
    else:
        Console().print(table(found))
    typer.echo(f"assumed: {overhead_gib:g} GiB of overhead an engine and GPU; its start measures it", err=True)


def figures(found: MemoryPlan) -> Mapping[str, object]:
    """What `--json` prints. Sizes are in bytes, of one GPU; `tokens` and `requests` are of the whole engine."""
    return {
        "gpus": found.machine.gpus,
        "gpu_bytes": found.machine.gpu_bytes,
        "free_gpus": found.free,
        "engines": found.uses,
    }


def table(found: MemoryPlan) -> Table:
    """One row for each engine on each GPU."""
    from rich.table import Table

    shown = Table(title=f"GPU memory, in GiB of {found.machine.gpu_bytes / 2**30:.1f} each")
    shown.add_column("GPU", justify="right")
    for column in ("worker", "model"):
        shown.add_column(column)
    for column in ("weights", "overhead", "cache", "taken", "tokens cached", "longest requests at once"):
        shown.add_column(column, justify="right")
    for use in found.uses:
        sizes = (f"{size / 2**30:.1f}" for size in (use.weights, use.overhead, use.cache, use.taken))
        model = f"{use.model} [dim](in turns)[/dim]" if use.in_turns else use.model
        shown.add_row(str(use.gpu), use.worker, model, *sizes, f"{use.tokens:,}", f"{use.requests:.1f}")
    for gpu in range(found.machine.gpus - found.free, found.machine.gpus):
        shown.add_row(str(gpu), "-", "", "", "", "", "", "", "")
    return shown
