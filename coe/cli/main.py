"""`coe`: registers the commands, and turns errors into one message and an exit code.

Exit codes: 0 done, 1 failed, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import sys
from typing import Annotated

import structlog
import typer

from coe import __version__
from coe.cli.chat import chat
from coe.cli.check import check
from coe.cli.discover import discover
from coe.cli.eval_plan import eval_plan
from coe.cli.eval_router import eval_router
from coe.cli.feedback import feedback
from coe.cli.join import join
from coe.cli.load import load, pin, unload, unpin
from coe.cli.make_trace import make_trace
from coe.cli.plan_memory import plan_memory
from coe.cli.plan_placement import plan_placement
from coe.cli.prepare import prepare
from coe.cli.ps import ps
from coe.cli.refresh_map import refresh_map
from coe.cli.rollback_router import rollback_router
from coe.cli.route import route
from coe.cli.schema import schema
from coe.cli.select_experts import select_experts
from coe.cli.serve import serve
from coe.cli.simulate import simulate
from coe.cli.train_expert import train_expert
from coe.cli.train_router import train_router
from coe.errors import EXPECTED_ERRORS, exit_code

app = typer.Typer(
    name="coe",
    help="Serve a composition of open language models as if it were one model.\n\n"
    "Start with `coe serve configs/local.yaml`, then ask with `coe chat`.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

SERVICE, ROUTER, EXPERTS, MEMORY, PLANS = "Service", "Router", "Experts", "Expert memory", "Plans"
app.command("serve", rich_help_panel=SERVICE)(serve)
app.command("join", rich_help_panel=SERVICE)(join)
app.command("check", rich_help_panel=SERVICE)(check)
app.command("prepare", rich_help_panel=SERVICE)(prepare)
app.command("ps", rich_help_panel=SERVICE)(ps)
app.command("load", rich_help_panel=SERVICE)(load)
app.command("unload", rich_help_panel=SERVICE)(unload)
app.command("pin", rich_help_panel=SERVICE)(pin)
app.command("unpin", rich_help_panel=SERVICE)(unpin)
app.command("chat", rich_help_panel=SERVICE)(chat)
app.command("schema", rich_help_panel=SERVICE)(schema)
app.command("route", rich_help_panel=ROUTER)(route)
app.command("train-router", rich_help_panel=ROUTER)(train_router)
app.command("eval-router", rich_help_panel=ROUTER)(eval_router)
app.command("discover", rich_help_panel=ROUTER)(discover)
app.command("feedback", rich_help_panel=ROUTER)(feedback)
app.command("refresh-map", rich_help_panel=ROUTER)(refresh_map)
app.command("rollback-router", rich_help_panel=ROUTER)(rollback_router)
app.command("train-expert", rich_help_panel=EXPERTS)(train_expert)
app.command("select-experts", rich_help_panel=EXPERTS)(select_experts)
app.command("simulate", rich_help_panel=MEMORY)(simulate)
app.command("make-trace", rich_help_panel=MEMORY)(make_trace)
app.command("plan-memory", rich_help_panel=MEMORY)(plan_memory)
app.command("plan-placement", rich_help_panel=MEMORY)(plan_placement)
app.command("eval-plan", rich_help_panel=PLANS)(eval_plan)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,  # the callback prints it
) -> None:
    """Options before any command."""


def main() -> None:
    """The console script."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))  # stdout is for data
    try:
        app()
    except EXPECTED_ERRORS as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        typer.echo("interrupted", err=True)
        sys.exit(130)


if __name__ == "__main__":
    main()
