from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest

from routers.encoders.encoder import EncoderSpec, Progress, Vectors
from routers.encoders.static import StaticEncoder
from routers.errors import BudgetError, DataError, MapError
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.prompts import LabelledPrompt
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

        def words(self) -> Sequence[str]:
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


def test_what_routing_gains_is_shown_before_the_router_is_used(
    word_encoder: StaticEncoder, make_prompts: MakePrompts
) -> None:
    _, report = train(make_prompts(100, outcomes=skilled), word_encoder)
    assert report.objection() is None
    assert report.outcomes is not None
    held_out = report.outcomes.selection.held_out
    assert held_out is not None
    assert report.metrics().keys() == {"accuracy", "log_loss", "routed_score", "gain"}
    assert report.metrics()["routed_score"] == held_out.score
    assert (report.outcomes.rows, report.outcomes.compared) == (300, 300)


@pytest.mark.parametrize(
    "outcomes",
    [
        lambda _: {"generalist": 0.5, "mathematician": 0.5},
        lambda _: {"generalist": 0.9, "mathematician": 0.2},
    ],
    ids=["all alike", "one for all"],
)
def test_a_router_that_gains_nothing_is_objected_to(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, outcomes: Callable[[str], dict[str, float]]
) -> None:
    _, report = train(make_prompts(60, outcomes=outcomes), word_encoder)
    objection = report.objection()
    assert objection is not None
    assert objection.startswith("on 180 held-out rows it does not beat the best single expert, ")
    assert "95 % interval" in objection


def test_too_few_complete_rows_are_objected_to(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    partly = [
        replace(prompt, outcomes=prompt.outcomes if i % 16 == 0 else {"generalist": 1.0})
        for i, prompt in enumerate(make_prompts(60, outcomes=skilled))
    ]
    _, report = train(partly, word_encoder)
    assert report.objection() is not None
    assert "rows hold an outcome of every expert" in (report.objection() or "")


def test_without_outcomes_there_is_nothing_to_object_to(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    router, report = train(make_prompts(20), word_encoder)
    assert (report.outcomes, report.objection(), router.paired) == (None, None, None)


def test_outcomes_of_unlabelled_prompts_count_too(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    told = [replace(p, category=None, labelled=False) for p in make_prompts(60, seed=1, outcomes=skilled)]
    router, report = train([*make_prompts(30), *told], word_encoder)
    assert report.outcomes is not None
    assert report.outcomes.compared == 180
    assert router.expert_map is not None
    assert router.expert_map.expert_for("maths") == "mathematician"


def test_outcomes_are_kept_by_the_category_that_was_found(
    word_encoder: StaticEncoder, make_prompts: MakePrompts
) -> None:
    router, _ = train(make_prompts(60, outcomes=skilled), word_encoder)
    assert router.paired is not None
    assert router.paired.experts == ("generalist", "mathematician")
    assert router.paired.traffic.sum() == 180
    assert router.paired.rows().shape == (4, 2)


def test_what_the_report_says_of_confidence_and_confusion_adds_up(
    word_encoder: StaticEncoder, make_prompts: MakePrompts
) -> None:
    _, report = train(make_prompts(50, out_of_scope=30), word_encoder)
    found = report.category
    confusion = np.array(found.confusion)
    assert confusion.sum(axis=1).tolist() == [50, 50, 50]
    assert np.trace(confusion) / 150 == pytest.approx(found.accuracy)
    assert sum(one.share for one in found.calibration) == pytest.approx(1)
    assert sum(one.share * one.accuracy for one in found.calibration) == pytest.approx(found.accuracy)
    assert found.ci95[0] < found.accuracy <= found.ci95[1]
    assert found.out_of_scope_recall is not None


def test_the_frontier_holds_the_budgets_that_were_asked_for(
    word_encoder: StaticEncoder, make_prompts: MakePrompts
) -> None:
    sizes = {"generalist": ExpertSize(8, 8), "mathematician": ExpertSize(7, 7)}
    mapping = MapSettings(sizes, frontier=(7.0, 7.5, 8.0))
    _, report = train(make_prompts(60, outcomes=skilled), word_encoder, mapping=mapping)
    assert report.outcomes is not None
    assert [budget for budget, _ in report.outcomes.frontier] == [7.0, 7.5, 8.0]


def test_stages_are_told_in_order(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    told: list[str] = []
    train(make_prompts(30, outcomes=skilled), word_encoder, progress=lambda stage, done, of: told.append(stage))
    assert list(dict.fromkeys(told)) == ["encode", "cross-validate", "compare policies"]


def test_the_linear_algebra_runs_on_one_thread_and_is_given_back() -> None:
    from threadpoolctl import threadpool_info, threadpool_limits

    from routers.training import _one_thread

    with threadpool_limits(limits=2):
        before = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
        with _one_thread():
            assert {pool["num_threads"] for pool in threadpool_info()} == {1}
        after = {pool["filepath"]: pool["num_threads"] for pool in threadpool_info()}
    assert {path: after[path] for path in before} == before
