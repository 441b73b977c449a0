"""`coe check`: say whether a configuration would start here."""

from __future__ import annotations

import typer

from coe.cli.arguments import DEFAULT_CONFIG, ConfigArgument


def check(config: ConfigArgument = DEFAULT_CONFIG) -> None:
    """Check CONFIG: keys, names, models, adapters, router. Prints each mistake with file, line and remedy."""
    from coe.checks import check_service
    from coe.config.load import load_config

    loaded = load_config(config)
    check_service(loaded)
    found = loaded.config
    typer.echo(
        f"{config}: ok ({len(found.experts)} experts, {len(found.models)} models, {len(found.workers)} worker groups)"
    )
