"""Tuning draws a category together, leaves the encoder that it started from alone, and comes back from disk."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routers.encoders.catalogue import open_encoder
from routers.encoders.finetune import _pairs, finetune, rate_share
from routers.encoders.sentence_transformer import MINILM, SentenceTransformerEncoder
from routers.errors import DataError, EncoderError

# Two categories that no word tells apart, so that only tuning can.
COLOURS = ["a red one", "the blue one", "any green one", "one of yellow", "make it brown", "purple or pink"]
SIZES = ["a large one", "the small one", "any tiny one", "one of medium", "make it huge", "wide or narrow"]
TEXTS = [*COLOURS, *SIZES]
LABELS = np.array([0] * 6 + [1] * 6, dtype=np.int64)


@pytest.fixture(scope="module")
def minilm(minilm_folder: Path) -> SentenceTransformerEncoder:
    return SentenceTransformerEncoder.open(MINILM, lambda _: minilm_folder)


@pytest.fixture(scope="module")
def tuned(minilm: SentenceTransformerEncoder) -> SentenceTransformerEncoder:
    return finetune(minilm, TEXTS, LABELS, steps=12)


def gap(encoder: SentenceTransformerEncoder) -> float:
    """How much nearer texts of one category are than texts of two."""
    likeness = (vectors := encoder.encode(TEXTS)) @ vectors.T
    same = LABELS[:, None] == LABELS
    return float(likeness[same].mean() - likeness[~same].mean())


def test_a_category_is_drawn_together_and_the_base_stays(
    minilm: SentenceTransformerEncoder, tuned: SentenceTransformerEncoder, minilm_folder: Path
) -> None:
    assert gap(tuned) > gap(minilm) + 0.02
    fresh = SentenceTransformerEncoder.open(MINILM, lambda _: minilm_folder)
    assert fresh.identity() == minilm.identity() != tuned.identity()
    assert tuned.spec.max_tokens == minilm.spec.max_tokens
    assert np.array_equal(tuned.encode(TEXTS), tuned.encode(TEXTS))  # dropout is off again


def test_the_same_seed_gives_the_same_encoder(minilm: SentenceTransformerEncoder) -> None:
    seen: list[tuple[int, int]] = []
    first = finetune(minilm, TEXTS, LABELS, steps=2, seed=3, progress=lambda done, of: seen.append((done, of)))
    assert first.identity() == finetune(minilm, TEXTS, LABELS, steps=2, seed=3).identity()
    assert first.identity() != finetune(minilm, TEXTS, LABELS, steps=2, seed=4).identity()
    assert seen == [(1, 2), (2, 2)]


def test_a_tuned_encoder_comes_back_from_its_routers_folder(tuned: SentenceTransformerEncoder, tmp_path: Path) -> None:
    def resolve(source: str) -> Path:
        raise AssertionError(f"{source} is in the folder")

    tuned.save(tmp_path)
    again = open_encoder(tuned.spec, tmp_path, resolve)
    assert again.spec == tuned.spec
    assert again.encode(TEXTS) == pytest.approx(tuned.encode(TEXTS), abs=1e-6)
    assert not any(path.suffix in {".bin", ".py", ".pt"} for path in tmp_path.rglob("*"))
    with pytest.raises(EncoderError, match=r"modules\.json"):
        open_encoder(tuned.spec, tmp_path / "elsewhere", resolve)


def test_an_untuned_encoder_leaves_nothing_in_the_folder(minilm: SentenceTransformerEncoder, tmp_path: Path) -> None:
    minilm.save(tmp_path)
    assert not list(tmp_path.iterdir())


def test_one_category_alone_is_refused(minilm: SentenceTransformerEncoder) -> None:
    with pytest.raises(DataError, match="two categories"):
        finetune(minilm, ["a", "b", "c"], np.array([0, 0, 1]))


@given(st.lists(st.integers(2, 9), min_size=2, max_size=30), st.integers(0, 5))
def test_a_batch_holds_one_pair_of_a_category_and_two_texts_a_pair(sizes: list[int], seed: int) -> None:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    by_label = [np.flatnonzero(labels == label) for label in range(len(sizes))]
    for first, second in _pairs(by_label, 5, np.random.default_rng(seed)):
        assert np.array_equal(labels[first], labels[second])
        assert len(set(labels[first].tolist())) == len(first) == min(16, len(sizes))
        assert (first != second).all()


@given(st.integers(1, 500))
def test_the_learning_rate_rises_to_its_height_and_falls_to_nearly_nothing(steps: int) -> None:
    shares = [rate_share(step, steps) for step in range(steps)]
    assert all(0 < share <= 1 for share in shares)
    top = int(np.argmax(shares))
    assert shares[top] == 1
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)
