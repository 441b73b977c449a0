"""An encoder behind a cache gives the vectors that it gives, and is asked once for each text."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from routers.encoders.cached import CachedEncoder
from routers.encoders.catalogue import with_cache
from routers.encoders.encoder import EncoderSpec, Progress, Vectors
from routers.encoders.static import StaticEncoder
from routers.encoders.vector_store import VectorStore
from routers.router import CategoryRouter
from routers.training import train
from tests.routers.conftest import MakePrompts


class CountedEncoder:
    """The word encoder, with a name for what it is and a list of what it was asked."""

    def __init__(self, encoder: StaticEncoder, identity: str = "one") -> None:
        self._encoder = encoder
        self._identity = identity
        self.asked: list[str] = []

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    def words(self) -> Sequence[str]:
        return ("word",)

    def identity(self) -> str:
        return self._identity

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        self.asked += texts
        return self._encoder.encode(texts)

    def save(self, folder: Path) -> None:
        self._encoder.save(folder)


class Progresses:
    def __init__(self) -> None:
        self.seen: list[tuple[int, int]] = []

    def add(self, done: int, total: int) -> None:
        self.seen.append((done, total))


@pytest.fixture
def store(tmp_path: Path) -> VectorStore:
    return VectorStore(tmp_path / "vectors.sqlite")


TEXTS = ["soup", "a judge in court", "soup", "", "vector sum of the " + "matrix " * 40]


def test_each_text_is_encoded_once_whoever_asks(word_encoder: StaticEncoder, store: VectorStore) -> None:
    first, second = CountedEncoder(word_encoder), CountedEncoder(word_encoder)
    fresh = CachedEncoder(first, store).encode(TEXTS)
    again = CachedEncoder(second, store).encode([*TEXTS, "jury"])
    assert np.array_equal(fresh, word_encoder.encode(TEXTS))
    assert np.array_equal(again, word_encoder.encode([*TEXTS, "jury"]))
    assert sorted(first.asked) == sorted(set(TEXTS))
    assert second.asked == ["jury"]
    assert CachedEncoder(second, store).encode([]).shape == (0, word_encoder.spec.dim)


def test_another_encoder_gets_none_of_its_vectors(word_encoder: StaticEncoder, store: VectorStore) -> None:
    CachedEncoder(CountedEncoder(word_encoder, "one"), store).encode(TEXTS)
    other = CountedEncoder(word_encoder, "two")
    CachedEncoder(other, store).encode(TEXTS)
    assert len(other.asked) == len(set(TEXTS))


def test_progress_ends_at_all_texts_cached_or_not(word_encoder: StaticEncoder, store: VectorStore) -> None:
    for _ in range(2):
        counts = Progresses()
        CachedEncoder(CountedEncoder(word_encoder), store).encode([str(number) for number in range(600)], counts.add)
        assert counts.seen[-1] == (600, 600)
        assert counts.seen == sorted(counts.seen)


def test_a_router_trained_behind_a_cache_is_the_one_trained_without(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, tmp_path: Path, no_resolve: Callable[[str], Path]
) -> None:
    prompts = make_prompts(20, out_of_scope=10)
    counted = CountedEncoder(word_encoder)
    routers: list[CategoryRouter] = []
    for _ in range(2):
        router, _ = train(prompts, with_cache(counted, tmp_path / "cache"))
        router.save(tmp_path / "router")
        routers.append(CategoryRouter.load(tmp_path / "router", no_resolve))
    assert len(counted.asked) == len({prompt.text for prompt in prompts})
    plain, _ = train(prompts, word_encoder)
    assert [router.classify("boil the soup") for router in routers] == [plain.classify("boil the soup")] * 2


def test_a_static_encoder_is_as_fast_as_the_disk_and_left_alone(word_encoder: StaticEncoder, tmp_path: Path) -> None:
    assert with_cache(word_encoder, tmp_path) is word_encoder
    counted = CountedEncoder(word_encoder)
    assert with_cache(counted, None) is counted
