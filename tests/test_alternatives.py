"""Who may stand in for whom: outcomes that are planted over the router that ships."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from coe.alternatives import Alternatives
from coe.config.load import LoadedConfig, load_config
from coe.errors import ConfigError
from coe.routing import Routing, find_mismatches, load_routing
from routers.mapping.chooser import Chooser
from routers.mapping.estimators import Linear
from routers.mapping.expert_map import ExpertMap
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.mapping.outcomes import Outcomes
from routers.mapping.paired import PairedScores
from routers.router import CategoryRouter, Classification

CONFIGS = Path(__file__).parents[1] / "configs"
PYTHON = "Write a Python function that returns the sum of the squares of a list of numbers."
SCORES = {"a": 0.8, "b": 0.78, "c": 0.7, "d": 0.85}
ROWS = 100_000  # so many that nothing is drawn towards the overall mean


@pytest.fixture(scope="module")
def local() -> LoadedConfig:
    return load_config(CONFIGS / "local.yaml", {})


@pytest.fixture(scope="module")
def shipped(local: LoadedConfig, tmp_path_factory: pytest.TempPathFactory) -> Routing:
    return load_routing(local, tmp_path_factory.mktemp("cache"))


def learned(
    router: CategoryRouter, scores: Mapping[str, float] = SCORES, limits: Limits | None = None, **sizes: float
) -> CategoryRouter:
    """A router whose experts score the same in every category, but in `sql`, where they score nothing."""
    count = len(router.categories) + 1
    found = np.arange(count)
    known = np.tile(list(scores.values()), (count, 1))
    known[router.categories.index("sql")] = 0
    one = PairedScores.of(Outcomes(tuple(scores), known), found, count)
    many = replace(one, counts=one.counts * ROWS, sums=one.sums * ROWS)
    pool = {name: ExpertSize(sizes[name], sizes[name]) if name in sizes else None for name in scores}
    return router.with_map(ExpertMap("a", {"python": "a", "math": "c"}, pool, limits or Limits()), many)


def names(alternatives: Alternatives, found: Classification, expert: str = "a") -> list[str]:
    return [near.expert for near in alternatives.of(found, expert)]


@pytest.fixture(scope="module")
def python(shipped: Routing) -> Classification:
    return shipped.router.classify(PYTHON)


def test_those_within_the_bound_may_stand_in_the_smallest_loss_first(shipped: Routing, python: Classification) -> None:
    router = learned(shipped.router)
    assert names(Alternatives(router, SCORES, 0.05), python) == ["d", "b"]
    assert names(Alternatives(router, SCORES, 0.2), python) == ["d", "b", "c"]
    assert names(Alternatives(router, SCORES, 0.0), python) == ["d"]
    (best, second) = Alternatives(router, SCORES, 0.05).of(python, "a")
    assert best.score_loss == pytest.approx(-0.05, abs=0.02)
    assert second.score_loss == pytest.approx(0.02, abs=0.01)


def test_categories_weigh_by_their_probabilities(shipped: Routing, python: Classification) -> None:
    """In `sql` nobody scores, so half of it halves every loss."""
    alternatives = Alternatives(learned(shipped.router), SCORES, 0.06)
    half = {name: 0.5 * (name in {"python", "sql"}) for name in shipped.router.categories}
    certain = {name: float(name == "python") for name in shipped.router.categories}
    assert names(alternatives, replace(python, probabilities=certain)) == ["d", "b"]
    assert names(alternatives, replace(python, probabilities=half)) == ["d", "b", "c"]


def test_a_prompt_that_the_classifier_will_not_decide_stays(shipped: Routing, python: Classification) -> None:
    alternatives = Alternatives(learned(shipped.router), SCORES, 1.0)
    assert names(alternatives, replace(python, abstained=True)) == []


def test_nobody_stands_in_for_an_expert_without_outcomes_or_from_outside_the_service(
    shipped: Routing, python: Classification
) -> None:
    router = learned(shipped.router)
    assert names(Alternatives(router, SCORES, 1.0), python, "of the configuration") == []
    assert names(Alternatives(router, ["a", "b"], 1.0), python) == ["b"]


@pytest.mark.parametrize(
    ("limits", "kept"),
    [
        (Limits(), ["d", "b", "c"]),
        (Limits(max_active_params_b=1.0), ["b"]),  # c is larger than a, and of d nothing is known
        (Limits(max_total_params_b=9.0), ["c"]),  # the map uses a and c; another would have to be loaded too
        (Limits(max_share={"b": 0.5}), ["d", "c"]),
    ],
)
def test_the_limits_of_the_map_hold(shipped: Routing, python: Classification, limits: Limits, kept: list[str]) -> None:
    router = learned(shipped.router, limits=limits, a=0.5, b=0.5, c=2.0)
    assert names(Alternatives(router, SCORES, 0.2), python) == kept


def test_where_experts_are_chosen_by_prompt_its_estimates_count(shipped: Routing) -> None:
    router = learned(shipped.router)
    categories = router.categories
    weights = np.zeros((len(categories), 2), np.float32)
    weights[categories.index("python")] = (0.0, -0.5)
    estimator = Linear("soft", weights, np.array([0.6, 0.59], np.float32))
    chooser = Chooser(estimator, ("a", "b"), np.zeros(2))
    chosen = CategoryRouter(replace(router._parts, chooser=chooser), router.encoder)
    alternatives = Alternatives(chosen, SCORES, 0.1)
    python, sql = chosen.classify_batch([PYTHON, "Write an SQL query that counts the rows of a table."])
    assert len(python.scores) == 2
    assert (python.expert, names(alternatives, python)) == ("a", [])
    assert (sql.expert, names(alternatives, sql)) == ("a", ["b"])
    routed = replace(shipped, router=chosen, overrides={}).route((PYTHON,))
    assert (routed.expert, routed.chosen_by) == ("a", "prompt")


def test_a_routing_tells_alternatives_only_where_they_are_asked_for(shipped: Routing) -> None:
    router = learned(shipped.router)
    plain = replace(shipped, router=router, overrides={})
    assert plain.route((PYTHON,)).alternatives == ()
    asked = replace(plain, alternatives=Alternatives(router, SCORES, 0.05)).route((PYTHON,))
    assert (asked.expert, [near.expert for near in asked.alternatives]) == ("a", ["d", "b"])


def test_a_router_without_outcomes_is_refused_with_the_line_and_the_remedy(shipped: Routing, tmp_path: Path) -> None:
    wanted = load_config(CONFIGS / "local.yaml", {"COE_ROUTER__RESIDENT__MAX_SCORE_LOSS": "0.02"})
    with pytest.raises(ConfigError, match=r"RESIDENT.*: router.resident: .* no outcomes.*`coe train-router`"):
        load_routing(wanted, tmp_path)
    assert find_mismatches(wanted.config, shipped.router.with_map(None, learned(shipped.router).paired)) == []
