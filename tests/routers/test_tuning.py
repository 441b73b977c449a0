"""A tuned encoder is kept where rows that it did not see say so."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from routers import tuning
from routers.encoders.encoder import Encoder
from routers.encoders.static import StaticEncoder, StaticTable
from routers.errors import EncoderError
from routers.prompts import LabelledPrompt
from routers.report.figures import TrainingReport
from routers.router import CategoryRouter
from routers.rows import MIN_ROWS
from routers.training import train
from routers.tuning import TuningReport, keep_tuned, train_tuned, tunable, tuning_rows
from tests.routers.conftest import MakePrompts


def test_a_gain_must_be_above_the_delta() -> None:
    assert keep_tuned(0.5, 0.45, 0.01)
    assert not keep_tuned(0.5, 0.495, 0.01)
    assert not keep_tuned(0.5, 0.6, 0.01)


def test_half_of_each_category_is_tuned_on_and_enough_is_left(make_prompts: MakePrompts) -> None:
    prompts = make_prompts(20, out_of_scope=10)
    prompts += [LabelledPrompt(f"verse {number}", "poems", labelled=True) for number in range(MIN_ROWS + 1)]
    rows = tuning_rows(prompts, seed=0)
    counts = Counter(prompts[i].category for i in rows)
    assert counts == {"cooking": 10, "law": 10, "maths": 10, "poems": 1}
    assert rows.tolist() == tuning_rows(prompts, seed=0).tolist() != tuning_rows(prompts, seed=1).tolist()


def test_a_repeated_prompt_is_not_on_both_sides(make_prompts: MakePrompts) -> None:
    prompts = make_prompts(10) * 3
    assert len(tuning_rows(prompts, seed=0)) == 15


def test_what_has_no_weights_to_tune_is_refused(word_encoder: StaticEncoder) -> None:
    with pytest.raises(EncoderError, match="'static' cannot be tuned"):
        tunable(word_encoder)


class Tuned:
    """Stands for minutes of tuning: gives `encoder`, and remembers the rows it was tuned on."""

    def __init__(self, encoder: StaticEncoder) -> None:
        self._encoder = encoder
        self.seen: list[str] = []

    def __call__(self, base: Encoder, texts: list[str], labels: NDArray[np.int64], **settings: object) -> StaticEncoder:
        self.seen = texts
        return self._encoder


def _trained(
    prompts: Sequence[LabelledPrompt], base: StaticEncoder, tuned: Tuned, monkeypatch: pytest.MonkeyPatch
) -> tuple[CategoryRouter, TrainingReport, TuningReport, list[set[str]]]:
    learned: list[set[str]] = []

    def learn(prompts: Sequence[LabelledPrompt], encoder: Encoder, /) -> tuple[CategoryRouter, TrainingReport]:
        learned.append({prompt.text for prompt in prompts})
        return train(prompts, encoder)

    monkeypatch.setattr(tuning, "finetune", tuned)
    router, report, found = train_tuned(prompts, base, base, learn)  # type: ignore[arg-type]  # `Tuned` stands in
    return router, report, found, learned


@pytest.fixture
def blurred(word_encoder: StaticEncoder) -> StaticEncoder:
    """The word encoder with vectors that say nothing."""
    table, tokenizer = word_encoder._table, word_encoder._tokenizer
    noise = np.random.default_rng(1).normal(size=table.rows.shape)
    return StaticEncoder(StaticTable.quantise(noise), tokenizer, "test:blurred")


def test_a_gain_keeps_the_tuned_encoder_and_nothing_is_learned_from_its_rows(
    make_prompts: MakePrompts, word_encoder: StaticEncoder, blurred: StaticEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts = make_prompts(24, out_of_scope=12, outcomes=lambda category: {"one": 0.9, "two": 0.1})
    tuned = Tuned(word_encoder)
    monkeypatch.setattr(tuning, "keep_tuned", lambda base, other: True)
    router, report, found, learned = _trained(prompts, blurred, tuned, monkeypatch)
    assert found.kept
    assert router.encoder is word_encoder
    assert report.rows_by_category == {"cooking": 24, "law": 24, "maths": 24}
    assert report.category.log_loss == found.tuned_loss == router.provenance.metrics["log_loss"]
    assert router.provenance.rows == len(prompts)
    assert router.expert_map is not None
    assert learned[1] == {prompt.text for prompt in prompts if router.read(prompt.text) not in tuned.seen}
    assert len(learned[1]) < len(learned[0])


def test_what_is_tuned_on_is_what_is_read_and_politeness_does_not_bring_a_row_to_the_other_side(
    make_prompts: MakePrompts, word_encoder: StaticEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = make_prompts(24)
    polite = [replace(prompt, text=f"Hello! {prompt.text}, thanks") for prompt in bare]
    tuned = Tuned(word_encoder)
    _, _, _, learned = _trained([*bare, *polite], word_encoder, tuned, monkeypatch)
    assert len(tuned.seen) == 3 * 12
    assert not any("Hello" in text or "thanks" in text for text in tuned.seen)
    assert not any(text in other for text in tuned.seen for other in learned[1])


def test_no_gain_keeps_the_encoder_as_it_is(
    make_prompts: MakePrompts, word_encoder: StaticEncoder, blurred: StaticEncoder, monkeypatch: pytest.MonkeyPatch
) -> None:
    router, report, found, _ = _trained(make_prompts(24), word_encoder, Tuned(blurred), monkeypatch)
    assert not found.kept
    assert router.encoder is word_encoder
    assert report.category.log_loss == found.base_loss < found.tuned_loss
