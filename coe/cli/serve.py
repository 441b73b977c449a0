"""`coe serve`: run the service until Ctrl-C or SIGTERM.

The command is a thin parent: the service runs under a reaper below it, so that not even SIGKILL of the command leaves
a process of Ray, HAProxy, Redis or vLLM behind.

    coe serve ─▶ reaper ─▶ service ─▶ Ray, HAProxy, Redis, workers ─▶ engines
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType

import typer

from coe.cli.arguments import DEFAULT_CONFIG, ConfigArgument

UNDER_REAPER = "COE_UNDER_REAPER"
SHUTDOWN_S = 60.0


def serve(config: ConfigArgument = DEFAULT_CONFIG) -> None:
    """Serve the experts of CONFIG behind one OpenAI-compatible endpoint.

    Starts a Ray of its own, which other machines may join (`coe join`) where CONFIG has a section `cluster`, or joins
    the cluster that RAY_ADDRESS names. Ctrl-C and SIGTERM let running requests finish and stop every process that was
    started; a second one cuts the requests off.
    """
    if os.environ.pop(UNDER_REAPER, None):
        _run(config)
    else:
        raise typer.Exit(_run_under_reaper(config))


def _run_under_reaper(config: Path) -> int:
    """The service's exit status. Ctrl-C and SIGTERM are handed down."""
    from coe.config.load import load_config
    from workers.processes.reaper import reaped

    grace_s = load_config(config).config.server.drain_timeout_s + SHUTDOWN_S
    command = [sys.executable, "-m", "coe.cli.main", "serve", str(config)]
    environment = {**os.environ, UNDER_REAPER: "1"}
    reaper = subprocess.Popen(reaped(command, grace_s=grace_s), env=environment, start_new_session=True)

    def hand_down(number: int, frame: FrameType | None) -> None:  # noqa: ARG001  # the shape of a signal handler
        reaper.terminate()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, hand_down)
    return reaper.wait()


def _run(config: Path) -> None:
    from coe.checks import check_service
    from coe.cli.prepare import prepare_models
    from coe.config.load import load_config
    from coe.service import Service
    from coe.stop_signals import StopRequestedError, stop_on_signals

    started = time.monotonic()

    def say(message: str) -> None:
        typer.echo(f"[{time.monotonic() - started:6.1f} s] {message}", err=True)

    loaded = load_config(config)
    check_service(loaded)
    service = Service(loaded, say)
    try:
        with stop_on_signals():
            prepare_models(loaded, loaded.config.groups_on_head(), say)
            with service.running():
                timings = ", ".join(f"{stage.name} {stage.seconds:.1f} s" for stage in service.stages)
                say(f"ready ({timings})")
                typer.echo(_greeting(service.url))
                service.watch()
    except StopRequestedError:
        say("stopped")


def _greeting(url: str) -> str:
    return (
        f"\ncoe is ready at {url} (Ctrl-C stops it). Open {url}/ui in a browser, or try:\n\n"
        f"curl -i {url}/v1/chat/completions -H 'content-type: application/json' \\\n"
        """  -d '{"model": "coe", "messages": [{"role": "user", "content": "How many are 3 boxes of 12 eggs?"}]}'\n"""
    )
