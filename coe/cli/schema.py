"""`coe schema`: the JSON schema of the configuration, for editors."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON schema of the configuration file; `configs/schema.json` is this output."""
    typer.echo(render_schema())


def render_schema() -> str:
    from coe.config.models import Config

    return json.dumps(Config.model_json_schema(), indent=2)
