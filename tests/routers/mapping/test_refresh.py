"""New outcomes change the map by the test that made it; each outcome counts once; a new expert needs a probe set."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from routers.encoders.static import StaticEncoder
from routers.errors import DataError
from routers.mapping.experts import ExpertSize
from routers.mapping.refresh import ServedOutcome, refresh
from routers.prompts import LabelledPrompt
from routers.router import CategoryRouter
from routers.training import MapSettings, train

MakePrompts = Callable[..., list[LabelledPrompt]]
CHANCES = {
    "cooking": {"cook": 0.9, "jurist": 0.3},
    "law": {"cook": 0.3, "jurist": 0.9},
    "maths": {"cook": 0.5, "jurist": 0.5},
}
SIZES = {"cook": ExpertSize(7, 7), "jurist": ExpertSize(7, 7)}


@pytest.fixture(scope="module")
def trained(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> CategoryRouter:
    prompts = make_prompts(60, outcomes=CHANCES.__getitem__)
    return train(prompts, word_encoder, mapping=MapSettings(SIZES))[0]


def expert_for(router: CategoryRouter, category: str) -> str:
    assert router.expert_map is not None
    return router.expert_map.expert_for(category)


def probes(make_prompts: MakePrompts, expert: str, chances: dict[str, float], seed: int = 9) -> list[LabelledPrompt]:
    return make_prompts(60, seed=seed, outcomes=lambda category: {expert: chances[category]})


def test_a_new_expert_is_asked_where_its_probe_set_shows_it_better(
    trained: CategoryRouter, make_prompts: MakePrompts
) -> None:
    found = refresh(
        trained,
        probes(make_prompts, "mathematician", {"cooking": 0.2, "law": 0.2, "maths": 1.0}),
        [],
        {"mathematician": ExpertSize(3, 3)},
    )
    assert expert_for(found.router, "maths") == "mathematician"
    assert expert_for(found.router, "cooking") == "cook"
    changed = {change.category: change for change in found.changes if change.before != change.after}
    assert changed["maths"].after == "mathematician"
    assert changed["maths"].p_value is None or changed["maths"].p_value < 0.05


def test_an_expert_of_unknown_size_is_left_out_of_a_sized_map(
    trained: CategoryRouter, make_prompts: MakePrompts
) -> None:
    rows = probes(make_prompts, "stranger", {"cooking": 1.0, "law": 1.0, "maths": 1.0})
    with pytest.raises(DataError, match="no new outcome"):
        refresh(trained, rows, [])
    found = refresh(trained, [*rows, *make_prompts(5, seed=3, outcomes=CHANCES.__getitem__)], [])
    assert found.unsized == ("stranger",)
    assert found.router.expert_map is not None
    assert "stranger" not in found.router.expert_map.pool


def test_outcomes_that_training_counted_are_left_out(trained: CategoryRouter, make_prompts: MakePrompts) -> None:
    same = make_prompts(60, outcomes=CHANCES.__getitem__)
    with pytest.raises(DataError, match="no new outcome"):
        refresh(trained, same, [])


def test_a_probe_set_counts_once(trained: CategoryRouter, make_prompts: MakePrompts) -> None:
    rows = probes(make_prompts, "cook", {"cooking": 0.9, "law": 0.3, "maths": 0.5})
    once = refresh(trained, rows, []).router
    with pytest.raises(DataError, match="no new outcome"):
        refresh(once, rows, [])


def test_probes_without_an_answer_say_nothing_of_votes(trained: CategoryRouter, make_prompts: MakePrompts) -> None:
    rows = probes(make_prompts, "cook", {"cooking": 0.9, "law": 0.3, "maths": 0.5})
    silent = [replace(row, answers={"jurist": "yes"}) for row in rows[:100]]
    found = refresh(trained, [*silent, *rows[100:]], []).router
    assert found.paired is not None
    assert found.answered is not None
    cook = found.paired.experts.index("cook")
    assert found.paired.rows().sum(axis=0)[cook] - found.answered.rows().sum(axis=0)[cook] == 100


def test_scores_of_served_answers_turn_the_map(trained: CategoryRouter) -> None:
    served = [ServedOutcome("maths", "cook", 0.0)] * 300 + [ServedOutcome("maths", "jurist", 1.0)] * 300
    found = refresh(trained, [], [*served, ServedOutcome("alchemy", "cook", 1.0)])
    assert expert_for(found.router, "maths") == "jurist"
    assert (found.served, found.strange) == (600, 1)


def test_categories_alone_are_enough_to_start_from(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    labelled = train(make_prompts(20), word_encoder)[0]
    assert labelled.classify("how to bake bread in the oven").expert is None
    few = [replace(row, outcomes=row.outcomes) for row in make_prompts(20, seed=5, outcomes=CHANCES.__getitem__)]
    found = refresh(labelled, few, [])
    assert found.router.expert_map is not None
    assert set(found.router.expert_map.pool) == {"cook", "jurist"}


def test_the_refreshed_router_is_kept_whole(
    trained: CategoryRouter, make_prompts: MakePrompts, tmp_path: Path, no_resolve: Callable[[str], Path]
) -> None:
    rows = probes(make_prompts, "cook", {"cooking": 0.9, "law": 0.3, "maths": 0.5})
    found = refresh(trained, rows, []).router.knowing([], outcomes_until=12.5)
    found.save(tmp_path / "router")
    again = CategoryRouter.load(tmp_path / "router", no_resolve)
    assert again.expert_map == found.expert_map
    assert again.provenance.outcomes_until == 12.5
    with pytest.raises(DataError, match="no new outcome"):
        refresh(again, rows, [])
