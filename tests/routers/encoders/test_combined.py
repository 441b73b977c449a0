"""Encoders side by side, and a router without any."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from routers.encoders.cached import CachedEncoder
from routers.encoders.catalogue import build_encoder, is_concatenation, open_encoder, with_cache
from routers.encoders.combined import ConcatenatedEncoder, NoEncoder
from routers.encoders.sentence_transformer import MINILM, SentenceTransformerEncoder
from routers.encoders.static import StaticEncoder
from routers.errors import EncoderError
from routers.router import CategoryRouter
from routers.training import train
from tests.routers.conftest import MakePrompts

NoResolve = Callable[[str], Path]
TEXTS = ["a judge", "boil the soup", "", "unknown"]


def test_each_part_has_the_same_say(word_encoder: StaticEncoder, minilm_folder: Path) -> None:
    minilm = SentenceTransformerEncoder.open(MINILM, lambda _: minilm_folder)
    both = ConcatenatedEncoder([word_encoder, minilm])
    vectors = both.encode(TEXTS)
    assert vectors.shape == (4, both.spec.dim) == (4, 24 + 384)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    assert np.linalg.norm(vectors[0, :24]) == pytest.approx(np.sqrt(0.5), abs=1e-5)
    assert vectors[0] @ vectors[1] == pytest.approx(
        (
            (word_encoder.encode(TEXTS[:2]) @ word_encoder.encode(TEXTS[:2]).T)[0, 1]
            + (minilm.encode(TEXTS[:2]) @ minilm.encode(TEXTS[:2]).T)[0, 1]
        )
        / 2,
        abs=1e-5,
    )


def test_a_concatenation_comes_back_as_it_was_saved(
    word_encoder: StaticEncoder, tmp_path: Path, no_resolve: NoResolve, make_prompts: MakePrompts
) -> None:
    both = ConcatenatedEncoder([word_encoder, NoEncoder(), word_encoder])
    router, _ = train(make_prompts(20), both)
    router.save(tmp_path / "router")
    again = CategoryRouter.load(tmp_path / "router", no_resolve)
    assert again.encoder.spec == both.spec
    assert again.classify_batch(TEXTS) == router.classify_batch(TEXTS)


def test_parts_are_cached_each_as_it_pays(word_encoder: StaticEncoder, minilm_folder: Path, tmp_path: Path) -> None:
    minilm = SentenceTransformerEncoder.open(MINILM, lambda _: minilm_folder)
    both = ConcatenatedEncoder([word_encoder, minilm])
    cached = with_cache(both, tmp_path)
    assert isinstance(cached, ConcatenatedEncoder)
    assert cached.parts[0] is word_encoder
    assert isinstance(cached.parts[1], CachedEncoder)
    assert cached.encode(TEXTS) == pytest.approx(both.encode(TEXTS), abs=1e-5)
    assert cached.spec == both.spec


def test_a_plus_joins_names_and_not_what_is_in_a_source(minilm_folder: Path, tmp_path: Path) -> None:
    assert is_concatenation("words+minilm")
    assert not is_concatenation("path:models/a+b")
    both = build_encoder("words + minilm", lambda _: minilm_folder)
    assert [part.kind for part in both.spec.parts] == ["none", "sentence-transformers"]
    assert open_encoder(both.spec, tmp_path, lambda _: minilm_folder).spec == both.spec
    with pytest.raises(EncoderError, match="two encoders"):
        ConcatenatedEncoder([NoEncoder()])


@pytest.mark.parametrize("out_of_scope", [0, 20])
def test_a_router_classifies_by_words_alone(
    make_prompts: MakePrompts, tmp_path: Path, no_resolve: NoResolve, out_of_scope: int
) -> None:
    router, report = train(make_prompts(30, out_of_scope=out_of_scope), build_encoder("words", no_resolve))
    assert report.category.accuracy > 0.9
    router.save(tmp_path / "router")
    again = CategoryRouter.load(tmp_path / "router", no_resolve)
    assert again.classify("tell the judge of the court and the jury").likeliest == "law"
    inside = make_prompts(30, seed=1)
    rejected = np.mean([answer.abstained for answer in again.classify_batch([prompt.text for prompt in inside])])
    assert rejected <= 0.15
    if out_of_scope:
        outside = [p.text for p in make_prompts(0, out_of_scope=30, seed=1)]
        assert np.mean([answer.abstained for answer in again.classify_batch(outside)]) > 0.5
