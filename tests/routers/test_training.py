from collections.abc import Callable, Sequence

import numpy as np
import pytest

from routers.encoders.encoder import EncoderSpec, Progress, Vectors
from routers.encoders.static import StaticEncoder
from routers.errors import BudgetError, DataError, MapError
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.prompts import LabelledPrompt
from routers.rows import fingerprint
from routers.training import MapSettings, train

MakePrompts = Callable[..., list[LabelledPrompt]]


def skilled(category: str) -> dict[str, float]:
    return {"generalist": 0.6, "mathematician": 0.95 if category == "maths" else 0.2}


def test_held_out_figures_are_reported(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    router, report = train(make_prompts(60, out_of_scope=20), word_encoder)
    assert router.categories == ("cooking", "law", "maths")
    assert router.expert_map is None
    assert report.rows_by_category == {"cooking": 60, "law": 60, "maths": 60}
    assert report.out_of_scope == 20
    assert report.category.accuracy > 0.95
    assert report.category.auroc is not None
    assert report.category.auroc > 0.8
    assert router.provenance.metrics["accuracy"] == report.category.accuracy


def test_outcomes_give_an_expert_map(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    router, report = train(make_prompts(60, outcomes=skilled), word_encoder)
    assert router.expert_map is not None
    assert router.expert_map.by_category == {"cooking": "generalist", "law": "generalist", "maths": "mathematician"}
    assert router.expert_map.default == "generalist"
    assert report.not_mapped == ()


def test_only_experts_with_a_size_are_mapped_and_budgets_hold(
    word_encoder: StaticEncoder, make_prompts: MakePrompts
) -> None:
    sizes = {"generalist": ExpertSize(8, 8), "unheard-of": ExpertSize(1, 1)}
    router, report = train(make_prompts(20, outcomes=skilled), word_encoder, mapping=MapSettings(sizes, Limits(8, 8)))
    assert router.expert_map is not None
    assert set(router.expert_map.pool) == {"generalist"}
    assert report.not_mapped == ("mathematician", "unheard-of")


def test_a_map_that_cannot_be_is_refused_before_the_encoder_runs(make_prompts: MakePrompts) -> None:
    class Unused:
        @property
        def spec(self) -> EncoderSpec:
            raise AssertionError

        def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
            raise AssertionError

    unused = Unused()
    sizes = {"generalist": ExpertSize(8, 8), "mathematician": ExpertSize(7, 7)}
    with pytest.raises(BudgetError, match="max_active_params_b"):
        train(make_prompts(20, outcomes=skilled), unused, mapping=MapSettings(sizes, Limits(3)))
    limits = Limits(max_share={"other": 0.5})
    with pytest.raises(MapError, match="without outcomes: 'other'"):
        train(make_prompts(20, outcomes=skilled), unused, mapping=MapSettings(sizes, limits))
    with pytest.raises(MapError, match="experts file"):
        train(make_prompts(20, outcomes=skilled), unused, mapping=MapSettings(None, Limits(3)))
    with pytest.raises(MapError, match="names must be the same"):
        train(make_prompts(20, outcomes=skilled), unused, mapping=MapSettings({"other": ExpertSize(1, 1)}))
    with pytest.raises(MapError, match="outcomes"):
        train(make_prompts(20), unused, mapping=MapSettings(sizes, Limits(3)))


def test_too_little_data_is_refused_with_a_remedy(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    maths = [row for row in make_prompts(20) if row.category == "maths"]
    with pytest.raises(DataError, match="only 'maths'"):
        train(maths, word_encoder)
    with pytest.raises(DataError, match="none"):
        train([LabelledPrompt("unlabelled")], word_encoder)
    with pytest.raises(DataError, match=r"'law' \(3\)"):
        train([*maths, *[row for row in make_prompts(3) if row.category == "law"]], word_encoder)
    with pytest.raises(DataError, match="reject rate"):
        train(make_prompts(20), word_encoder, reject_rate=1)


def test_repeats_count_once_and_conflicts_are_told(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    prompts = make_prompts(20)
    conflict = LabelledPrompt(prompts[0].text, "law", labelled=True)
    _, report = train([*prompts, prompts[0], prompts[0], conflict, LabelledPrompt("no label")], word_encoder)
    assert (report.repeats, report.unlabelled) == (2, 1)
    assert report.conflicts == (prompts[0].text,)


def test_two_categories_are_enough(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    router, _ = train([row for row in make_prompts(40) if row.category != "law"], word_encoder)
    answer = router.classify("please explain the integral of a vector")
    assert answer.likeliest == "maths"
    assert sum(answer.probabilities.values()) == pytest.approx(1)


def test_the_same_seed_gives_the_same_router(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    prompts = make_prompts(40, out_of_scope=5)
    first, second = (train(prompts, word_encoder, seed=3)[0] for _ in range(2))
    texts = [row.text for row in make_prompts(20, seed=1)]
    assert first.classify_batch(texts) == second.classify_batch(texts)


@pytest.mark.parametrize("reject_rate", [0.0, 0.05, 0.2])
def test_no_more_new_prompts_in_scope_are_rejected_than_the_rate(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, reject_rate: float
) -> None:
    router, _ = train(make_prompts(200), word_encoder, reject_rate=reject_rate)
    answers = router.classify_batch([row.text for row in make_prompts(300, seed=1)])
    rejected = np.mean([answer.abstained for answer in answers])
    assert reject_rate / 4 <= rejected <= reject_rate + 0.03  # of 900, 0.03 is two standard errors and more


def test_the_fingerprint_is_of_what_is_learned_from() -> None:
    row = LabelledPrompt("x", "a", labelled=True)
    assert fingerprint([row]) == fingerprint([LabelledPrompt("x", "a", labelled=True, id="7")])
    assert fingerprint([row]) != fingerprint([LabelledPrompt("x", None, labelled=True)])
    assert fingerprint([LabelledPrompt("x")]) != fingerprint([LabelledPrompt("x", None, labelled=True)])
