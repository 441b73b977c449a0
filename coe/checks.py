"""The checks that look beyond the configuration file: models, router and engine on this machine."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

from coe.config.load import LoadedConfig
from coe.config.problem import Problem
from coe.config.specs import absolute_source
from coe.plan.loading import load_planner
from coe.routing import load_routing
from coe.runtime import RAY_ADDRESS, cache_directory
from workers.errors import SourceError
from workers.sources.resolution import check


def check_service(loaded: LoadedConfig) -> None:
    """Finds what would keep the service from starting here, without starting anything.

    Raises:
        ConfigError: with every problem found, its place and its remedy.
    """
    if problems := list(_problems(loaded)):
        raise loaded.error(problems)
    load_planner(loaded)
    load_routing(loaded, cache_directory())


def _problems(loaded: LoadedConfig) -> Iterator[Problem]:
    config = loaded.config
    for name, model in config.models.items():
        if model.source and (message := _source_problem(loaded, model.source)):
            yield Problem(("models", name, "source"), message)
    for name, expert in config.experts.items():
        if expert.adapter and expert.load == "start" and (message := _source_problem(loaded, expert.adapter)):
            yield Problem(("experts", name, "adapter"), message)
    here = [config.experts[name].model for group in config.groups_on_head() for name in config.experts_of(group)]
    starts_engines = any(config.models[name].source for name in here)
    if starts_engines and importlib.util.find_spec("vllm") is None:
        device = next(iter(config.workers.values())).device
        remedy = "`make venv` installs it" if device == "cpu" else "install `coe[gpu]`"
        yield Problem(("models",), f"vLLM is not installed here; {remedy}.")
    if config.cluster is None and RAY_ADDRESS not in os.environ:
        for group, worker in config.workers.items():
            if worker.nodes:
                message = "no other machine can take part; add the section `cluster` (docs/cluster.md)."
                yield Problem(("workers", group, "nodes"), message)
    if config.logs.file and not Path(loaded.path(config.logs.file)).parent.is_dir():
        yield Problem(("logs", "file"), "its folder does not exist; make it, or name another file.")


def _source_problem(loaded: LoadedConfig, source: str) -> str | None:
    try:
        check(absolute_source(loaded, source))
    except SourceError as error:
        return str(error)
    return None
