"""The service's router: the artefact that the configuration names, checked against its experts.

In: a configuration. Out: a `Routing`, which tells category and expert of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from coe.config.load import LoadedConfig
from coe.config.models import Config
from coe.config.problem import Problem
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
        overrides: category to expert; goes before what the router learned.
        general: the expert of prompts that the router will not decide, and of categories without an expert.
        card: the router's own.
    """

    router: CategoryRouter
    overrides: Mapping[str, str]
    general: str
    card: RouterCard

    def route(self, turns: Sequence[str]) -> Routed:
        """Decides on what the user said, `turns`, last. Blocks for the encoder's time. Thread-safe."""
        found = self.router.classify_turns(turns)
        return Routed(found, self._expert(found), self.card)

    def _expert(self, found: Classification) -> str:
        if found.abstained:
            return self.general
        return self.overrides.get(found.category) or found.expert or self.general


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
    return Routing(router, loaded.config.router.map, loaded.config.router.general, card)


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


def find_mismatches(config: Config, router: CategoryRouter) -> list[Problem]:
    """Categories that the router does not know, and experts that the configuration does not have."""
    known = ", ".join(router.categories)
    problems = [
        Problem(("router", "map", category), f"the router has no such category; it knows {known}.")
        for category in config.router.map
        if category not in router.categories
    ]
    for category, expert in _learned(router):
        if expert not in config.experts and category not in config.router.map:
            problems.append(
                Problem(
                    ("router", "path"),
                    f"the router sends `{category}` to the expert `{expert}`, which the configuration lacks; add it to "
                    "`experts`, or name another for this category in `router.map`.",
                )
            )
    return problems


def _learned(router: CategoryRouter) -> list[tuple[str, str]]:
    """Every category with each expert that the router may ask for it."""
    if router.expert_map is None:
        return []
    if not router.chooses_by_prompt:
        return list(router.expert_map.by_category.items())
    return [(category, expert) for category in router.categories for expert in router.experts_to_choose]
