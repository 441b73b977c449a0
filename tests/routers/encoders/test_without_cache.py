"""Latency is measured on the encoder as the service runs it."""

from pathlib import Path

from routers.encoders.cached import CachedEncoder
from routers.encoders.catalogue import with_cache, without_cache
from routers.encoders.combined import ConcatenatedEncoder
from routers.encoders.sentence_transformer import MINILM, SentenceTransformerEncoder
from routers.encoders.static import StaticEncoder


def test_what_the_cache_was_put_around_comes_back(
    word_encoder: StaticEncoder, minilm_folder: Path, tmp_path: Path
) -> None:
    minilm = SentenceTransformerEncoder.open(MINILM, lambda _: minilm_folder)
    cached = with_cache(minilm, tmp_path)
    assert isinstance(cached, CachedEncoder)
    assert without_cache(cached) is minilm
    assert without_cache(word_encoder) is word_encoder
    both = without_cache(with_cache(ConcatenatedEncoder([word_encoder, minilm]), tmp_path))
    assert isinstance(both, ConcatenatedEncoder)
    assert list(both.parts) == [word_encoder, minilm]
