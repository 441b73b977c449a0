"""`coe prepare`: fetch and convert the models of a configuration, so that the service starts straight away."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import typer

from coe.cli.arguments import DEFAULT_CONFIG, ConfigArgument

if TYPE_CHECKING:
    from coe.config.load import LoadedConfig


def prepare(config: ConfigArgument = DEFAULT_CONFIG) -> None:
    """Fetch and convert the models and adapters that CONFIG names. Run again, it finds them done."""
    from coe.config.load import load_config

    loaded = load_config(config)
    prepare_models(loaded, list(loaded.config.workers), lambda message: typer.echo(message, err=True))


def prepare_models(loaded: LoadedConfig, groups: Sequence[str], say: Callable[[str], None]) -> None:
    """Resolves every source of a model or an adapter of some worker groups on this machine.

    Raises:
        SourceError: a model cannot be had.
    """
    from coe.config.specs import absolute_source
    from coe.runtime import cache_directory
    from workers.sources.resolution import resolve

    experts = {name: loaded.config.experts[name] for group in groups for name in loaded.config.experts_of(group)}
    for name in dict.fromkeys(expert.model for expert in experts.values()):
        model = loaded.config.models[name]
        if model.source:
            directory = resolve(absolute_source(loaded, model.source), cache_directory(), say)
            say(f"model {name}: {directory}")
    for name, expert in experts.items():
        if expert.adapter and expert.load == "start":
            _prepare_adapter(name, absolute_source(loaded, expert.adapter), say)


def _prepare_adapter(name: str, source: str, say: Callable[[str], None]) -> None:
    """An adapter that cannot be had is told and passed over: the other experts serve without it."""
    from coe.runtime import cache_directory
    from workers.errors import SourceError
    from workers.sources.resolution import resolve

    try:
        say(f"adapter of {name}: {resolve(source, cache_directory(), say)}")
    except SourceError as error:
        say(f"adapter of {name} cannot be had: {error}")
