"""The router that ships, under configurations that fit it and configurations that do not."""

from pathlib import Path

import pytest

from coe.config.load import LoadedConfig, load_config
from coe.errors import ConfigError
from coe.routing import effective_map, find_mismatches, load_routing
from routers.mapping.expert_map import ExpertMap
from routers.router import CategoryRouter

CONFIGS = Path(__file__).parents[1] / "configs"


@pytest.fixture(scope="module")
def local() -> LoadedConfig:
    return load_config(CONFIGS / "local.yaml", {})


@pytest.fixture(scope="module")
def router(local: LoadedConfig, tmp_path_factory: pytest.TempPathFactory) -> CategoryRouter:
    if not (CONFIGS / "router").is_dir():
        pytest.skip("the router that ships is not here")
    return load_routing(local, tmp_path_factory.mktemp("cache")).router


def test_the_shipped_map_leads_to_the_shipped_adapters(local: LoadedConfig, router: CategoryRouter) -> None:
    adapted = {name for name, expert in local.config.experts.items() if expert.adapter}
    assert set(effective_map(local.config, router).values()) == adapted
    assert find_mismatches(local.config, router) == []


def test_the_configuration_goes_over_what_the_router_learned(local: LoadedConfig, router: CategoryRouter) -> None:
    learned = router.with_map(
        ExpertMap(by_category={"sql": "clerk", "chess": "clerk"}, default="clerk", pool={"clerk": None})
    )
    found = effective_map(local.config, learned)
    assert (found["sql"], found["chess"]) == ("sql-writer", "clerk")


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
