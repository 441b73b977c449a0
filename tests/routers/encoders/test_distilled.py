"""A table is distilled once for each model."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from routers.encoders import distilled as module
from routers.encoders.distilled import distilled, folder_sha256
from routers.encoders.encoder import EncoderSpec, Progress
from routers.encoders.sentence_transformer import SentenceTransformerEncoder
from routers.encoders.static import StaticEncoder
from routers.errors import EncoderError


class World(NamedTuple):
    """A model's folder, where tables are kept, and how often one was distilled."""

    model: Path
    cache: Path
    made: list[str]

    def encoder(self, source: str = "path:model") -> StaticEncoder:
        return distilled(source, lambda _: self.model, cache=self.cache)


@pytest.fixture
def world(tmp_path: Path, word_encoder: StaticEncoder, monkeypatch: pytest.MonkeyPatch) -> World:
    """Distilling stands for half a minute of a real model: it gives the test's own table."""
    world = World(tmp_path / "model", tmp_path / "cache", [])
    (world.model / "1_Pooling").mkdir(parents=True)
    (world.model / "1_Pooling" / "config.json").write_text("{}")
    (world.model / "model.safetensors").write_bytes(b"weights")

    def distil(teacher: str, progress: Progress | None = None) -> StaticEncoder:
        world.made.append(teacher)
        return word_encoder

    monkeypatch.setattr(module, "distil", distil)
    monkeypatch.setattr(SentenceTransformerEncoder, "open", lambda source, resolve: source)
    monkeypatch.setattr(module, "COMPONENTS", word_encoder.spec.dim)
    return world


def test_the_second_is_read_and_equals_the_first(world: World, word_encoder: StaticEncoder) -> None:
    first, second = world.encoder(), world.encoder()
    assert len(world.made) == 1
    assert second.spec == EncoderSpec("static", "path:model", word_encoder.spec.dim, word_encoder.spec.max_tokens)
    assert np.array_equal(first.encode(["a judge"]), second.encode(["a judge"]))


def test_a_changed_model_is_distilled_again(world: World) -> None:
    world.encoder()
    (world.model / "1_Pooling" / "config.json").write_text('{"mode": "max"}')
    world.encoder()
    assert len(world.made) == 2


@pytest.mark.parametrize("file", ["static.safetensors", "tokenizer.json", "manifest.json"])
def test_a_damaged_table_is_distilled_again(world: World, file: str) -> None:
    world.encoder()
    (place,) = world.cache.iterdir()
    content = bytearray((place / file).read_bytes())
    content[-10] ^= 1
    (place / file).write_bytes(content)
    world.encoder()
    world.encoder()
    assert len(world.made) == 2


def test_only_the_latest_are_kept(world: World) -> None:
    for number in range(module.KEPT + 3):
        (world.model / "model.safetensors").write_bytes(str(number).encode())
        world.encoder()
    assert len(list(world.cache.iterdir())) == module.KEPT
    world.encoder()
    assert len(world.made) == module.KEPT + 3


def test_without_a_cache_or_with_one_that_cannot_be_written_it_is_distilled(world: World) -> None:
    distilled("path:model", lambda _: world.model)
    world.cache.write_text("a file, not a folder")
    world.encoder()
    assert len(world.made) == 2


def test_a_model_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    whole = folder_sha256(tmp_path)
    (tmp_path / "empty").mkdir()
    assert folder_sha256(tmp_path) == whole
    with pytest.raises(EncoderError, match="nowhere"):
        distilled("path:nowhere", lambda _: tmp_path / "nowhere", cache=tmp_path)
