"""`coe serve`: run the service until Ctrl-C or SIGTERM."""

from __future__ import annotations

import time

import typer

from coe.cli.arguments import DEFAULT_CONFIG, ConfigArgument


def serve(config: ConfigArgument = DEFAULT_CONFIG) -> None:
    """Serve the experts of CONFIG behind one OpenAI-compatible endpoint.

    Starts a Ray of its own, or joins the cluster that RAY_ADDRESS names. Ctrl-C and SIGTERM let running requests
    finish and stop every process that was started.
    """
    from coe.checks import check_service
    from coe.cli.prepare import prepare_models
    from coe.config.load import load_config
    from coe.service import Service, StopRequestedError, stop_on_signals

    started = time.monotonic()

    def say(message: str) -> None:
        typer.echo(f"[{time.monotonic() - started:6.1f} s] {message}", err=True)

    loaded = load_config(config)
    check_service(loaded)
    service = Service(loaded, say)
    try:
        with stop_on_signals():
            prepare_models(loaded, say)
            with service.running():
                timings = ", ".join(f"{stage.name} {stage.seconds:.1f} s" for stage in service.stages)
                say(f"ready ({timings})")
                typer.echo(_greeting(service.url))
                service.watch()
    except StopRequestedError as stop:
        say(f"stopped by {stop}")


def _greeting(url: str) -> str:
    return (
        f"\ncoe is ready at {url} (Ctrl-C stops it). Try:\n\n"
        f"curl -i {url}/v1/chat/completions -H 'content-type: application/json' \\\n"
        """  -d '{"model": "coe", "messages": [{"role": "user", "content": "Write a haiku about autumn rain."}]}'\n"""
    )
