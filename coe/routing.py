"""The service's router: the artefact that the configuration names, checked against its experts."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from coe.config.load import LoadedConfig
from coe.config.models import Config
from coe.config.references import Problem
from coe.telemetry.logs import get_logger
from routers.errors import ArtefactError, EncoderError
from routers.router import CategoryRouter
from workers.sources import resolve

log = get_logger("coe.routing")


def load_router(loaded: LoadedConfig, cache_dir: Path) -> CategoryRouter:
    """Loads and checks the artefact.

    Raises:
        ConfigError: the artefact is missing, damaged, or sends prompts to experts that the configuration lacks.
    """
    directory = loaded.path(loaded.config.router.path)
    try:
        router = CategoryRouter.load(directory, partial(resolve_source, cache_dir=cache_dir))
    except (ArtefactError, EncoderError) as error:
        raise loaded.error([Problem(("router", "path"), str(error))]) from error
    if problems := find_mismatches(loaded.config, router):
        raise loaded.error(problems)
    return router


def resolve_source(source: str, cache_dir: Path) -> Path:
    """The local directory of an encoder's or model's source; progress goes to the log."""
    return resolve(source, cache_dir, lambda message: log.info("preparing a model", source=source, step=message))


def effective_map(config: Config, router: CategoryRouter) -> dict[str, str]:
    """category: expert, the configuration's entries over those that the router learned."""
    learned = router.expert_map
    return {**(learned.by_category if learned else {}), **config.router.map}


def find_mismatches(config: Config, router: CategoryRouter) -> list[Problem]:
    """Categories that the router does not know, and experts that the configuration does not have."""
    known = ", ".join(router.categories)
    problems = [
        Problem(("router", "map", category), f"the router has no such category; it knows {known}.")
        for category in config.router.map
        if category not in router.categories
    ]
    learned = router.expert_map.by_category if router.expert_map else {}
    for category, expert in learned.items():
        if expert not in config.experts and category not in config.router.map:
            problems.append(
                Problem(
                    ("router", "path"),
                    f"the router sends `{category}` to the expert `{expert}`, which the configuration lacks; add it to "
                    "`experts`, or name another for this category in `router.map`.",
                )
            )
    return problems
