"""Each part of the recipe is kept where held-out rows gain by it, and only there."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from routers.classifier import Features, log_loss
from routers.encoders.encoder import Encoder
from routers.encoders.static import StaticEncoder
from routers.lexicon import fit_lexicon
from routers.prompts import LabelledPrompt
from routers.validation import FOLDS, Recipe, Rows, cross_validate
from tests.routers.conftest import MakePrompts

CATEGORIES = ("cooking", "law", "maths")


def rows_of(prompts: Sequence[LabelledPrompt], encoder: Encoder, unlabelled: Sequence[str] = ()) -> Rows:
    texts = [prompt.text for prompt in prompts]
    lexicon = fit_lexicon(texts)

    def features(texts: Sequence[str]) -> Features:
        return Features(encoder.encode(texts), lexicon.features(texts))

    labels = np.array([CATEGORIES.index(p.category) if p.category else len(CATEGORIES) for p in prompts])
    return Rows(features(texts), labels, len(CATEGORIES), features(unlabelled) if unlabelled else None)


def test_predictions_are_of_models_that_did_not_see_the_row(
    word_encoder: StaticEncoder, make_prompts: MakePrompts
) -> None:
    rows = rows_of(make_prompts(40), word_encoder)
    shuffled = Rows(rows.features, np.random.default_rng(0).permutation(rows.labels), 3)
    found = cross_validate(shuffled, 0)
    assert (found.logits.argmax(axis=1) == shuffled.labels).mean() < 0.5  # a model that saw them knows them by heart
    seen = found.recipe.fit(shuffled, 0)
    assert (seen.logits(shuffled.features).argmax(axis=1) == shuffled.labels).mean() > 0.8


def test_without_outliers_there_is_evidence_but_no_auroc(
    word_encoder: StaticEncoder, make_prompts: MakePrompts
) -> None:
    rows = rows_of(make_prompts(40), word_encoder)
    found = cross_validate(rows, 0)
    assert not rows.has_outliers
    assert (found.auroc, found.recipe.mixed_outliers, found.recipe.self_training) == (None, False, False)
    assert found.evidence.signals == ("energy", "distance")
    evidence = found.evidence.of(found.measured(found.evidence.signals, 3))
    assert evidence.mean() == pytest.approx(0, abs=1e-6)


def test_with_many_categories_groups_of_them_choose_the_evidence() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(6), 30)
    vectors = (3 * np.eye(12)[labels] + 0.5 * rng.normal(size=(180, 12))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = Rows(Features(vectors, fit_lexicon([]).features([""] * 180)), labels, 6)
    found = cross_validate(rows, 0)
    assert found.evidence.signals
    assert (found.evidence.spreads > 0).all()
    assert "margin" not in found.evidence.signals


def test_outliers_are_held_out_too_and_told_apart(word_encoder: StaticEncoder, make_prompts: MakePrompts) -> None:
    rows = rows_of(make_prompts(40, out_of_scope=40), word_encoder)
    found = cross_validate(rows, 0)
    assert found.logits.shape == (160, 4)
    assert found.auroc is not None
    assert found.auroc > 0.95


@pytest.mark.parametrize("mixed", [False, True])
def test_mixed_outliers_make_what_lies_between_uncertain(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, mixed: bool
) -> None:
    rows = rows_of(make_prompts(60, out_of_scope=60), word_encoder)
    classifier = Recipe((16.0,), mixed_outliers=mixed).fit(rows, 0)
    assert classifier.outlier_class
    assert classifier.intercept.shape == (4,)
    inside = classifier.logits(rows.features[np.arange(180)])
    assert (inside[:, :3].argmax(axis=1) == rows.labels[:180]).mean() > 0.95
    between = rows.features[np.arange(60)].mixed(rows.features[np.arange(180, 240)], np.full(60, 0.3, np.float32))
    sure = classifier.probabilities(classifier.logits(between)).max(axis=1).mean()
    plain = Recipe((16.0,)).fit(rows, 0)
    assert not mixed or sure < plain.probabilities(plain.logits(between)).max(axis=1).mean()


def by_vectors(vectors: NDArray[np.float64]) -> Features:
    """Features of prompts without words."""
    return Features(vectors.astype(np.float32), fit_lexicon([]).features([""] * len(vectors)))


def helpful(seed: int) -> Rows:
    """Few labelled rows of two classes in many directions that mean nothing, and many unlabelled ones alike."""
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], [12 + 300, 12 + 300]))
    apart = np.where(labels == 0, -1, 1)[:, None] + 0.8 * rng.normal(size=(624, 3))
    vectors = np.hstack([apart, rng.normal(size=(624, 30))])
    few = np.concatenate([np.flatnonzero(labels == 0)[:12], np.flatnonzero(labels == 1)[:12]])
    return Rows(by_vectors(vectors[few]), labels[few], 2, by_vectors(np.delete(vectors, few, axis=0)))


def misleading(seed: int) -> Rows:
    """Unlabelled rows far out in a direction that means nothing: a classifier is sure of them, by chance."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], 60)
    vectors = np.column_stack([np.where(labels == 0, -1, 1) + 0.8 * rng.normal(size=120), 2 * rng.normal(size=120)])
    strange = np.column_stack([np.zeros(600), 40 * rng.choice([-1, 1], 600)])
    return Rows(by_vectors(vectors), labels, 2, by_vectors(strange))


@pytest.mark.parametrize(("make", "taken"), [(helpful, 0.5), (misleading, 0.0)])
def test_unlabelled_prompts_take_part_where_held_out_rows_gain_and_never_where_they_lose(
    make: Callable[[int], Rows], taken: float
) -> None:
    took_part = []
    for seed in range(6):
        rows = make(seed)
        found, plain = cross_validate(rows, 0), cross_validate(replace(rows, unlabelled=None), 0)
        its, own = (log_loss(one.logits, rows.labels, one.recipe.temperature) for one in (plain, found))
        took_part.append(found.recipe.self_training)
        assert own < its if found.recipe.self_training else np.array_equal(found.logits, plain.logits)
    assert np.mean(took_part) >= taken
    assert taken or not all(took_part)


def test_what_the_classifier_is_not_sure_of_changes_nothing() -> None:
    rows = helpful(0)
    torn = replace(rows, unlabelled=by_vectors(np.zeros((200, 33))))
    plain, trained = (Recipe((4.0,), self_training=told).fit(torn, 0) for told in (False, True))
    assert np.array_equal(plain.dense, trained.dense)


@pytest.mark.parametrize(("out_of_scope", "unlabelled", "passes"), [(0, 0, 1), (20, 0, 2), (0, 5, 2), (20, 5, 3)])
def test_progress_ends_at_its_total(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, out_of_scope: int, unlabelled: int, passes: int
) -> None:
    told: list[tuple[int, int]] = []
    rows = rows_of(make_prompts(12, out_of_scope=out_of_scope), word_encoder, ["the court"] * unlabelled)
    cross_validate(rows, 0, lambda done, of: told.append((done, of)))
    total = passes * FOLDS
    assert told == [(done, total) for done in range(1, total + 1)]
