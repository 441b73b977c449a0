"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_CONFIG = Path("configs/local.yaml")
DEFAULT_URL = "http://127.0.0.1:8000"

ConfigArgument = Annotated[
    Path, typer.Argument(metavar="CONFIG", help="The service's YAML file. COE_SECTION__KEY variables override it.")
]
UrlOption = Annotated[str, typer.Option("--url", envvar="COE_URL", help="Where the service listens.")]
DataOption = Annotated[
    list[Path],
    typer.Option("--data", help="Labelled prompts, .jsonl or .jsonl.gz; several: `--data A B` or `--data A --data B`."),
]
MoreDataArgument = Annotated[list[Path] | None, typer.Argument(metavar="[F...]", help="Further files after --data.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
CacheOption = Annotated[
    bool, typer.Option("--cache/--no-cache", help="Keep what the encoder gave on disk, for the next run.")
]
