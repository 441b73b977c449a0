"""The service's router: the artefact that the configuration names, checked against its experts.

In: a configuration. Out: a `Routing`, which tells category and expert of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coe.config.load import LoadedConfig
from coe.config.models import Config
from coe.config.references import Problem
from coe.telemetry.logs import get_logger
from routers.artefact import recover_artefact, version_of
from routers.errors import ArtefactError, EncoderError
from routers.router import CategoryRouter, Classification
from workers.sources import resolve

log = get_logger("coe.routing")


@dataclass(frozen=True, slots=True)
class RouterCard:
    """What a router tells of itself.

    Attributes:
        version: of the artefact, as `routers.artefact.version_of` tells it.
        categories: those that it knows.
        reject_rate: in [0, 1), the share of in-scope prompts that it was made to abstain on.
    """

    version: str
    categories: tuple[str, ...]
    reject_rate: float


@dataclass(frozen=True, slots=True)
class Routed:
    """What was decided of one prompt, and the router that decided it."""

    classification: Classification
    expert: str
    router_card: RouterCard


@dataclass(frozen=True, slots=True)
class Routing:
    """One router with the configuration's entries over its map. A service replaces it whole.

    Attributes:
        expert_by_category: stage two; `general` answers for what it does not name.
        card: the router's own.
    """

    router: CategoryRouter
    expert_by_category: Mapping[str, str]
    general: str
    card: RouterCard

    def route(self, text: str) -> Routed:
        """Blocks for the encoder's time. Thread-safe."""
        found = self.router.classify(text)
        return Routed(found, self.expert_by_category.get(found.category, self.general), self.card)


def load_routing(loaded: LoadedConfig, cache_dir: Path) -> Routing:
    """Loads and checks the artefact as it stands now.

    Raises:
        ConfigError: the artefact is missing, damaged, or sends prompts to experts that the configuration lacks.
    """
    directory = loaded.path(loaded.config.router.path)
    try:
        router, version = _open(directory, cache_dir)
    except (ArtefactError, EncoderError) as error:
        raise loaded.error([Problem(("router", "path"), str(error))]) from error
    if problems := find_mismatches(loaded.config, router):
        raise loaded.error(problems)
    card = RouterCard(version, router.categories, router.reject_rate)
    return Routing(router, effective_map(loaded.config, router), loaded.config.router.general, card)


def _open(directory: Path, cache_dir: Path) -> tuple[CategoryRouter, str]:
    """The router and its version; never the files of one and the name of another."""
    recover_artefact(directory)
    version = version_of(directory)
    router = CategoryRouter.load(directory, partial(resolve_source, cache_dir=cache_dir))
    if version_of(directory) != version:
        raise ArtefactError(f"{directory} was replaced while it was read: try again")
    return router, version


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
