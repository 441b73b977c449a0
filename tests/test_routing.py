"""The router that ships, under configurations that fit it and configurations that do not."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coe.config.load import LoadedConfig, load_config
from coe.errors import ConfigError
from coe.routing import Routing, find_mismatches, load_routing, measured_strengths
from routers.mapping.expert_map import ExpertMap
from routers.mapping.outcomes import Outcomes
from routers.mapping.paired import PairedScores
from routers.router import CategoryRouter

CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.fixture(scope="module")
def local() -> LoadedConfig:
    return load_config(CONFIGS / "local.yaml", {})


@pytest.fixture(scope="module")
def routing(local: LoadedConfig, tmp_path_factory: pytest.TempPathFactory) -> Routing:
    return load_routing(local, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def router(routing: Routing) -> CategoryRouter:
    return routing.router


PYTHON = "Write a Python function that returns the sum of the squares of a list of numbers."


def test_the_shipped_map_leads_to_the_shipped_adapters(local: LoadedConfig, routing: Routing) -> None:
    adapted = {name for name, expert in local.config.experts.items() if expert.adapter}
    assert set(routing.overrides.values()) == adapted
    assert find_mismatches(local.config, routing.router) == []
    routed = routing.route((PYTHON,))
    assert (routed.classification.category, routed.expert) == ("python", "python-writer")
    assert routed.chosen_by == "configuration"
    assert routed.router_card == routing.card


def test_the_configuration_goes_over_what_the_router_learned(routing: Routing, router: CategoryRouter) -> None:
    learned = router.with_map(ExpertMap("clerk", {"python": "clerk"}, {"clerk": None}))
    with_entry = replace(routing, router=learned)
    assert with_entry.route((PYTHON,)).expert == "python-writer"
    by_map = replace(with_entry, overrides={}).route((PYTHON,))
    assert (by_map.expert, by_map.chosen_by) == ("clerk", "map")
    by_nothing = replace(routing, overrides={}).route((PYTHON,))
    assert (by_nothing.expert, by_nothing.chosen_by) == (routing.general, "default")


def test_what_the_router_will_not_decide_goes_to_the_configured_general(routing: Routing) -> None:
    parts = routing.router._parts
    strict = replace(parts, abstention=replace(parts.abstention, calibration=parts.abstention.calibration + 1e3))
    routed = replace(routing, router=CategoryRouter(strict, routing.router.encoder)).route((PYTHON,))
    assert routed.classification.abstained
    assert routed.chosen_by == "abstention"
    assert routed.expert == routing.general == "generalist"


def test_an_expert_that_the_configuration_lacks_is_told(local: LoadedConfig, router: CategoryRouter) -> None:
    learned = router.with_map(
        ExpertMap(by_category={"sql": "gone", "chess": "gone"}, default="gone", pool={"gone": None})
    )
    (problem,) = find_mismatches(local.config, learned)  # `sql` is mapped by the configuration
    assert "`chess` to the expert `gone`, which the configuration lacks" in str(problem)


def test_a_missing_router_is_told_with_the_line_that_names_it(local: LoadedConfig, tmp_path: Path) -> None:
    moved = load_config(CONFIGS / "local.yaml", {"COE_ROUTER__PATH": str(tmp_path)})
    with pytest.raises(ConfigError, match=r"COE_ROUTER__PATH: router.path: .*`coe train-router` makes one"):
        load_routing(moved, tmp_path)


def test_what_votes_weigh_goes_with_the_decision(routing: Routing, router: CategoryRouter) -> None:
    categories = len(router.categories) + 1
    outcomes = Outcomes(("generalist", "python-writer"), np.tile([[0.0, 1.0]], (20 * categories, 1)))
    paired = PairedScores.of(outcomes, np.repeat(np.arange(categories), 20), categories)
    routed = replace(routing, strengths=measured_strengths(router.with_map(None, paired))).route((PYTHON,))
    assert routed.strengths is not None
    log_odds = routed.strengths.expected(routed.classification.probabilities)
    assert log_odds["python-writer"] > 0 > log_odds["generalist"]
    assert routing.route((PYTHON,)).strengths is None  # the router that ships was trained without outcomes
