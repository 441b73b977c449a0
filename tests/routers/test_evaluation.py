import time
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import f1_score, roc_auc_score

from routers.comparison import compare
from routers.encoders.encoder import Progress, Vectors
from routers.encoders.static import StaticEncoder
from routers.errors import DataError
from routers.evaluation import classify_all, evaluate, macro_f1
from routers.gain import bootstrap
from routers.mapping.expert_map import ExpertMap
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.prompts import LabelledPrompt, last_words
from routers.ranking import auroc, recall_at
from routers.router import CategoryRouter, Classification
from routers.training import MapSettings, train

MakePrompts = Callable[..., list[LabelledPrompt]]
SIZES = {"jurist": ExpertSize(7, 7), "generalist": ExpertSize(8, 8), "giant": ExpertSize(70, 70)}


def skilled(category: str) -> dict[str, float]:
    return {"generalist": 0.5, "jurist": 0.95 if category == "law" else 0.1, "giant": 0.9}


@pytest.fixture(scope="module")
def router(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> CategoryRouter:
    mapping = MapSettings(SIZES, Limits(8))
    return train(make_prompts(100, outcomes=skilled), word_encoder, mapping=mapping)[0]


def test_the_keys_are_those_that_programs_read(router: CategoryRouter, make_prompts: MakePrompts) -> None:
    figures = evaluate(router, make_prompts(20, out_of_scope=10, seed=1, outcomes=skilled)).to_json()
    assert {name: set(value) if isinstance(value, dict) else None for name, value in figures.items()} == {
        "n": None,
        "trained_on": None,
        "category": {"accuracy", "macro_f1"},
        "abstained": None,
        "routed": {"score", "active_params_b"},
        "best_single": {"expert", "score"},
        "true_category": {"score"},
        "random": {"score"},
        "oracle": {"score"},
        "co_failure": None,
        "gain": {"mean", "ci95", "p_value"},
        "ood": {"auroc", "recall_at_5pct_rejected"},
        "latency_ms": {"p50", "p99"},
    }


def test_routing_is_compared_with_the_best_expert_of_the_same_budget(
    router: CategoryRouter, make_prompts: MakePrompts
) -> None:
    prompts = make_prompts(100, seed=1, outcomes=skilled)
    outcomes = evaluate(router, prompts).outcomes
    assert outcomes.best_single.expert == "generalist"
    assert outcomes.routed.score is not None
    assert outcomes.best_single.score is not None
    assert outcomes.routed.score > outcomes.best_single.score
    assert outcomes.routed.active_params_b is not None
    assert 7 < outcomes.routed.active_params_b <= 8
    assert outcomes.gain.mean == pytest.approx(outcomes.routed.score - outcomes.best_single.score)
    assert outcomes.gain.p_value is not None
    assert outcomes.gain.p_value < 0.05
    assert outcomes.oracle.score == pytest.approx(1 - (outcomes.co_failure or 0))


def test_data_without_outcomes_gives_the_category_figures_only(
    router: CategoryRouter, make_prompts: MakePrompts
) -> None:
    found = evaluate(router, make_prompts(50, out_of_scope=50, seed=1))
    assert found.category.accuracy is not None
    assert found.category.accuracy > 0.95
    assert found.abstained is not None
    assert found.abstained < 0.15
    assert found.ood.auroc is not None
    assert found.ood.auroc > 0.8
    figures = found.to_json()
    assert figures["routed"] == {"score": None, "active_params_b": None}
    assert figures["gain"] == {"mean": None, "ci95": None, "p_value": None}
    assert figures["co_failure"] is None


def test_unlabelled_rows_give_what_needs_no_label(router: CategoryRouter) -> None:
    found = evaluate(router, [LabelledPrompt("the court", outcomes=dict.fromkeys(SIZES, 1.0))])
    assert (found.category.accuracy, found.abstained, found.ood.auroc) == (None, None, None)
    assert found.outcomes.routed.score == 1
    assert found.outcomes.true_category.score is None


def test_rows_that_the_router_was_trained_on_are_counted(router: CategoryRouter, make_prompts: MakePrompts) -> None:
    seen, new = make_prompts(100, outcomes=skilled)[:30], make_prompts(15, seed=1)
    unlike_in_case_only = [LabelledPrompt(row.text.upper(), row.category, labelled=True) for row in seen[:5]]
    found = evaluate(router, [*seen, *new, *unlike_in_case_only])
    assert (found.n, found.trained_on) == (80, 35)
    assert evaluate(router, new).trained_on == 0


def test_a_row_of_a_chat_is_classified_as_the_service_would(router: CategoryRouter) -> None:
    turns = ("please explain what the judge of the court can do to the jury and the defendant", "and in french?")
    chat = LabelledPrompt(last_words(turns), "law", labelled=True, turns=turns, outcomes={"jurist": 1.0})
    plain = LabelledPrompt("please boil the soup", "cooking", labelled=True, turns=("please boil the soup",))
    answers = classify_all(router, [plain, chat, plain], None)
    assert answers[1] == router.classify_turns(turns)
    assert [answer.category for answer in answers] == ["cooking", "law", "cooking"]
    assert evaluate(router, [plain, chat]).category.accuracy == 1


def test_no_rows_are_refused(router: CategoryRouter) -> None:
    with pytest.raises(DataError):
        evaluate(router, [])


def test_latency_is_of_one_prompt_with_its_encoding(
    word_encoder: StaticEncoder, router: CategoryRouter, make_prompts: MakePrompts
) -> None:
    class Slow:
        spec = word_encoder.spec

        def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
            time.sleep(0.01)
            return word_encoder.encode(texts, progress)

        def words(self) -> Sequence[str]:
            return word_encoder.words()

    slow = CategoryRouter(router._parts, Slow())
    assert evaluate(slow, make_prompts(5)).latency_ms.p50 >= 10


def rows(*outcomes: dict[str, float]) -> list[LabelledPrompt]:
    return [LabelledPrompt("x", "law", labelled=True, outcomes=given) for given in outcomes]


def sent(category: str, expert: str | None) -> Classification:
    """A prompt put into `category` and sent to `expert`."""
    return Classification(category, 0.9, category == "general", 0.5, {"law": 1.0}, expert)


def test_figures_by_hand() -> None:
    expert_map = ExpertMap("a", {"law": "b"}, {"a": ExpertSize(2, 2), "b": ExpertSize(4, 4)})
    prompts = rows({"a": 1, "b": 0}, {"a": 0, "b": 1}, {"a": 1, "b": 1}, {"a": 0, "b": 0}, {"a": 1, "b": 0}, {"a": 0})
    found = compare(prompts, [sent("general", "a"), *[sent("law", "b")] * 5], expert_map, 0)
    assert (found.routed.score, found.routed.active_params_b) == (3 / 5, (2 + 4 * 4) / 5)
    assert (found.best_single.expert, found.best_single.score) == ("a", 3 / 5)
    assert (found.true_category.score, found.random.score, found.oracle.score) == (2 / 5, 1 / 2, 4 / 5)
    assert (found.co_failure, found.gain.mean) == (1 / 5, 0)


def test_a_chooser_is_scored_by_whom_it_asked() -> None:
    expert_map = ExpertMap("a", {"law": "a"}, {"a": None, "b": None})
    prompts = rows({"a": 1, "b": 0}, {"a": 0, "b": 1}, {"a": 0, "b": 1})
    found = compare(prompts, [sent("law", "a"), sent("law", "b"), sent("law", "b")], expert_map, 0)
    assert (found.routed.score, found.routed.active_params_b) == (1, None)
    assert (found.true_category.score, found.best_single.expert) == (1 / 3, "b")
    assert found.gain.mean == pytest.approx(1 / 3)


def test_an_expert_over_the_budget_is_not_what_routing_is_compared_with() -> None:
    sizes = {"a": ExpertSize(2, 2), "b": ExpertSize(4, 4)}
    found = compare(rows({"a": 0, "b": 1}), [sent("law", "a")], ExpertMap("a", {}, sizes, Limits(3)), 0)
    assert (found.best_single.expert, found.gain.mean) == ("a", 0)
    none_fits = compare(rows({"a": 0, "b": 1}), [sent("law", "a")], ExpertMap("a", {}, sizes, Limits(1)), 0)
    assert none_fits.best_single.expert is None


def test_without_a_map_the_experts_are_still_compared() -> None:
    found = compare(rows({"a": 1, "b": 0}, {"a": 1, "b": 1}), [sent("law", None)] * 2, None, 0)
    assert (found.best_single.expert, found.oracle.score, found.routed.score) == ("a", 1, None)


def test_outcomes_that_do_not_cover_the_map_give_no_figures() -> None:
    expert_map = ExpertMap("a", {"law": "b"}, {"a": None, "b": None})
    assert compare(rows({"a": 1}), [sent("law", "b")], expert_map, 0).routed.score is None


def test_the_bootstrap_knows_noise_from_a_gain() -> None:
    rng = np.random.default_rng(0)
    noise = bootstrap(rng.choice([-1.0, 0, 1], 2_000), 0)
    gain = bootstrap(rng.choice([-1.0, 0, 1], 2_000, p=[0.1, 0.7, 0.2]), 0)
    none = bootstrap(np.zeros(50), 0)
    assert noise.p_value is not None
    assert gain.p_value is not None
    assert gain.ci95 is not None
    assert noise.p_value > 0.05
    assert gain.p_value < 0.001
    assert gain.ci95[0] < 0.1 < gain.ci95[1]
    assert (none.mean, none.ci95, none.p_value) == (0, (0, 0), 1)


SCORES = st.lists(st.integers(0, 9), min_size=1, max_size=30)


@given(SCORES, SCORES)
def test_auroc_is_scikit_learns(inside: list[int], outside: list[int]) -> None:
    a, b = np.array(inside, dtype=np.float64), np.array(outside, dtype=np.float64)
    truth = [1] * len(a) + [0] * len(b)
    assert auroc(a, b) == pytest.approx(roc_auc_score(truth, np.concatenate([a, b])))


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1))
def test_macro_f1_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    truth, found = (np.array(column) for column in zip(*pairs, strict=True))
    assert macro_f1(truth, found) == pytest.approx(f1_score(truth, found, average="macro", zero_division=0))


def test_recall_is_of_what_falls_below_the_rejected_share() -> None:
    inside = np.arange(100, dtype=np.float64)
    assert recall_at(inside, np.array([0.0, 4.0, 50.0, 99.0]), 0.05) == 0.5
