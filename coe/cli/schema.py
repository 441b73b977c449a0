"""`coe schema`: what a configuration may hold, for editors and for people."""

from __future__ import annotations

from typing import Annotated

import typer


def schema(
    as_markdown: Annotated[bool, typer.Option("--markdown", help="Print the reference for people instead.")] = False,
) -> None:
    """Print the JSON schema of the configuration file; `configs/schema.json` is this output."""
    from coe.config.reference import json_schema, markdown

    typer.echo(markdown() if as_markdown else json_schema(), nl=False)
