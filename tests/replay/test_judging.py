"""Rows are judged by routers that did not see them, with what was learned of the experts that plans may ask."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from coe.errors import InputError
from coe.replay.judging import FOLDS, cross_fitted, judged_by, trained
from coe.replay.recorded import recorded
from routers.encoders.static import StaticEncoder
from routers.errors import DataError
from routers.mapping.experts import ExpertSize
from routers.prompts import LabelledPrompt
from routers.router import CategoryRouter
from tests.replay.worlds import drawn_answers

MakePrompts = Callable[..., list[LabelledPrompt]]
ACCURACY = {"large": 0.9, "middle": 0.6, "small": 0.3}
SIZES = {"large": ExpertSize(70, 70), "middle": ExpertSize(8, 8), "small": ExpertSize(3, 3)}


@pytest.fixture(scope="module")
def rows(make_prompts: MakePrompts) -> list[LabelledPrompt]:
    return drawn_answers(make_prompts(60), ACCURACY)


@pytest.fixture(scope="module")
def router(rows: list[LabelledPrompt], word_encoder: StaticEncoder) -> CategoryRouter:
    return trained(rows, word_encoder, tuple(ACCURACY), SIZES)


def test_rows_that_the_router_knows_are_left_out(
    router: CategoryRouter, rows: list[LabelledPrompt], make_prompts: MakePrompts
) -> None:
    new = drawn_answers(make_prompts(10, seed=7), ACCURACY)
    judged = judged_by(router, recorded([*rows[:5], *new], tuple(ACCURACY)), tuple(ACCURACY))
    assert len(judged) == len(new)
    assert np.mean([one.found for one in judged if one.found is not None]) > 0.9


def test_strengths_and_the_routed_expert_are_the_routers(router: CategoryRouter, make_prompts: MakePrompts) -> None:
    new = recorded(drawn_answers(make_prompts(4, seed=7), ACCURACY), tuple(ACCURACY))
    for one in judged_by(router, new, tuple(ACCURACY)):
        assert one.routed == "large"
        assert one.log_odds["large"] > one.log_odds["middle"] > one.log_odds["small"]


def test_experts_that_may_not_be_asked_are_not_routed_to(router: CategoryRouter, make_prompts: MakePrompts) -> None:
    within = ("middle", "small")
    new = recorded(drawn_answers(make_prompts(4, seed=7), ACCURACY), within)
    for one in judged_by(router, new, within):
        assert one.routed == "middle"
        assert set(one.log_odds) == set(within)


def test_a_router_that_knows_every_row_judges_none(router: CategoryRouter, rows: list[LabelledPrompt]) -> None:
    with pytest.raises(DataError, match="every row"):
        judged_by(router, recorded(rows, tuple(ACCURACY)), tuple(ACCURACY))


def test_an_expert_that_the_router_learned_nothing_of_is_named(
    router: CategoryRouter, make_prompts: MakePrompts
) -> None:
    accuracy = {**ACCURACY, "stranger": 0.5}
    new = recorded(drawn_answers(make_prompts(4, seed=7), accuracy), tuple(accuracy))
    with pytest.raises(InputError, match="stranger"):
        judged_by(router, new, tuple(accuracy))


def test_a_router_without_outcomes_is_refused(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    bare = trained(make_prompts(20), word_encoder, (), None)
    new = recorded(drawn_answers(make_prompts(4, seed=7), ACCURACY), tuple(ACCURACY))
    with pytest.raises(InputError, match="without outcomes"):
        judged_by(bare, new, tuple(ACCURACY))


def test_in_cross_fitting_no_row_trains_its_own_judge(
    rows: list[LabelledPrompt], router: CategoryRouter, word_encoder: StaticEncoder
) -> None:
    seen_by_fold: list[set[str]] = []
    told = recorded(rows, tuple(ACCURACY))

    def train_without(fold: int, prompts: Sequence[LabelledPrompt]) -> CategoryRouter:
        seen_by_fold.append({prompt.text for prompt in prompts})
        return trained(prompts, word_encoder, tuple(ACCURACY), SIZES)

    judged = cross_fitted(told, train_without, word_encoder, tuple(ACCURACY))
    assert len(seen_by_fold) == FOLDS
    assert sorted(one.row.prompt.text for one in judged) == sorted(row.prompt.text for row in told)
    for row in told:
        assert sum(row.prompt.text in seen for seen in seen_by_fold) == FOLDS - 1
