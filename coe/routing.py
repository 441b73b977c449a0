"""The service's router: the artefact that the configuration names, checked against its experts.

In: a configuration. Out: a `Routing`, which tells category and expert of a prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal, TypeAlias

from coe.alternatives import Alternative, Alternatives
from coe.config.load import LoadedConfig
from coe.config.models import Config
from coe.config.problem import Problem
from coe.telemetry.logs import get_logger
from routers.abstention import GENERAL
from routers.artefact import recover_artefact, version_of
from routers.errors import ArtefactError, EncoderError
from routers.mapping.strengths import Strengths
from routers.router import CategoryRouter, Classification
from workers.sources.resolution import resolve

log = get_logger("coe.routing")

ChosenBy: TypeAlias = Literal["configuration", "map", "prompt", "abstention", "default"]
"""What named an expert: `router.map`; the map that the router learned; its choice prompt by prompt; that it would not
decide, or that nothing names an expert for the category, which both leave the general one."""


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
    """What was decided of one prompt, and the router that decided it.

    `chosen_by`: what named the expert. `alternatives`: who may answer instead where that saves a swap, the best first;
    `router.resident` asks for them. `strengths`: of experts to be right, by category; None where the router
    learned from no outcomes.
    """

    classification: Classification
    expert: str
    router_card: RouterCard
    alternatives: tuple[Alternative, ...] = ()
    chosen_by: ChosenBy = "map"
    strengths: Strengths | None = None


@dataclass(frozen=True, slots=True)
class Routing:
    """One router with the configuration's entries over its map. A service replaces it whole.

    Attributes:
        overrides: category to expert; goes before what the router learned.
        general: the expert of prompts that the router will not decide, and of categories without an expert.
        card: the router's own.
        alternatives: who may answer instead; None where nobody may.
        strengths: of experts, by category; None where the router learned from no outcomes.
    """

    router: CategoryRouter
    overrides: Mapping[str, str]
    general: str
    card: RouterCard
    alternatives: Alternatives | None = None
    strengths: Strengths | None = None

    def route(self, turns: Sequence[str]) -> Routed:
        """Decides on what the user said, `turns`, last. Blocks for the encoder's time. Thread-safe."""
        found = self.router.classify_turns(turns)
        expert, chosen_by = self._expert(found)
        near = self.alternatives.of(found, expert) if self.alternatives else ()
        return Routed(found, expert, self.card, near, chosen_by, self.strengths)

    def _expert(self, found: Classification) -> tuple[str, ChosenBy]:
        if found.abstained:
            return self.general, "abstention"
        if configured := self.overrides.get(found.category):
            return configured, "configuration"
        if found.expert:
            return found.expert, "prompt" if self.router.chooses_by_prompt else "map"
        return self.general, "default"


def load_routing(loaded: LoadedConfig, cache_dir: Path) -> Routing:
    """Loads and checks the artefact as it stands now.

    Raises:
        ConfigError: the artefact is missing, damaged, or sends prompts to experts that the configuration lacks.
    """
    config = loaded.config
    directory = loaded.path(config.router.path)
    try:
        router, version = _open(directory, cache_dir)
    except (ArtefactError, EncoderError) as error:
        raise loaded.error([Problem(("router", "path"), str(error))]) from error
    if problems := find_mismatches(config, router):
        raise loaded.error(problems)
    card = RouterCard(version, router.categories, router.reject_rate)
    resident = config.router.resident
    alternatives = Alternatives(router, config.experts, resident.max_score_loss) if resident else None
    return Routing(router, config.router.map, config.router.general, card, alternatives, measured_strengths(router))


def measured_strengths(router: CategoryRouter) -> Strengths | None:
    """What votes of experts weigh by, as `coe eval-plan` has it."""
    return None if router.answered is None else Strengths.of(router.answered, router.categories)


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
    """Categories that the router does not know, experts that the configuration lacks, evidence that is not there."""
    known = ", ".join(router.categories)
    problems = [
        Problem(("router", "map", category), f"the router has no such category; it knows {known}.")
        for category in config.router.map
        if category not in router.categories
    ]
    if config.router.resident and router.paired is None:
        problems.append(
            Problem(
                ("router", "resident"),
                "the router learned from no outcomes, so what another expert would score is not known; train it on "
                "rows with `outcomes` (`coe train-router`), or remove this key.",
            )
        )
    problems += [
        Problem(("router", "plans", category), f"the router has no such category; it knows {known}, {GENERAL}.")
        for category in config.router.plans
        if category not in (*router.categories, GENERAL)
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
