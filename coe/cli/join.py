"""`coe join`: give this machine to the cluster of a `coe serve` that runs on another."""

from __future__ import annotations

import time
from typing import Annotated

import typer

HeadArgument = Annotated[
    str, typer.Argument(metavar="HEAD[:PORT]", help="Where `coe serve` runs, and its `cluster.port` (6379).")
]
LabelOption = Annotated[
    list[str],
    typer.Option("--label", metavar="KEY=VALUE", help="Gets the workers whose `nodes` ask for it. Repeatable."),
]
CpusOption = Annotated[int | None, typer.Option("--cpus", min=1, help="Cores to offer; all where absent.")]
GpusOption = Annotated[int | None, typer.Option("--gpus", min=0, help="GPUs to offer; all where absent.")]
HostOption = Annotated[
    str | None, typer.Option("--host", help="Address of this machine for the others; found out where absent.")
]


def join(
    head: HeadArgument,
    label: LabelOption = [],  # noqa: B006  # typer reads it and makes a list of its own each time
    cpus: CpusOption = None,
    gpus: GpusOption = None,
    host: HostOption = None,
) -> None:
    """Make this machine a node of the cluster at HEAD until Ctrl-C or SIGTERM.

    `coe serve` with a section `cluster` is a head. It starts workers here whose `nodes` match this machine's labels:

        coe join 10.0.0.5 --label pool=gpu

    Start it before or after the head: it waits, and joins again when the head was restarted.

    Models are prepared and kept here, in COE_HOME. Adapters given by `path:` must lie at the same place as on the head.
    Both machines need the same versions of Python and coe, and Ray's token where the head has one: ~/.ray/auth_token,
    or RAY_AUTH_TOKEN.
    """
    from coe.join import Head, stay_joined
    from coe.ray_node import Offer
    from coe.stop_signals import StopRequestedError, stop_on_signals

    started = time.monotonic()

    def say(message: str) -> None:
        typer.echo(f"[{time.monotonic() - started:6.1f} s] {message}", err=True)

    try:
        with stop_on_signals():
            stay_joined(Head.parse(head), Offer(labels=_labels(label), cpus=cpus, gpus=gpus, host=host), say)
    except StopRequestedError:
        say("left the cluster")


def _labels(given: list[str]) -> dict[str, str]:
    from coe.config.models import LABEL
    from coe.errors import InputError

    labels = {}
    for text in given:
        key, _, value = text.partition("=")
        if not (LABEL.fullmatch(key) and LABEL.fullmatch(value)):
            raise InputError(f"`{text}` is not a label: give KEY=VALUE of letters, digits, `.`, `_`, `-`, `/`")
        labels[key] = value
    return labels
