"""A cache around an encoder: in come texts, out come the vectors that they were given the first time.

The key of a vector is the sha256 of what the encoder is and of the text, so a changed model starts afresh. Training
a router again encodes nothing again. A static encoder is as fast as the disk and is better left alone.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from routers.encoders.encoder import Encoder, EncoderSpec, Progress, SavedEncoder, Vectors
from routers.encoders.vector_store import VectorStore
from routers.errors import EncoderError

STORE_FILE = "vectors.sqlite"
BATCH = 256  # a kill loses the vectors of one batch


@runtime_checkable
class IdentifiedEncoder(Encoder, Protocol):
    """An encoder that can tell itself from every other one."""

    def identity(self) -> str:
        """A checksum of all that decides its vectors: weights, tokenizer, settings, libraries."""
        ...


class CachedEncoder:
    """`encoder`, asked only for texts that `store` does not know. As thread-safe as `encoder` is."""

    def __init__(self, encoder: IdentifiedEncoder, store: VectorStore) -> None:
        self._encoder = encoder
        self._store = store
        self._identity = encoder.identity().encode()

    @property
    def spec(self) -> EncoderSpec:
        return self._encoder.spec

    @property
    def uncached(self) -> Encoder:
        """The encoder itself, as it runs when the service asks it."""
        return self._encoder

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        keys = [self._key(text) for text in texts]
        known = {key: vector for key, vector in self._store.get(keys).items() if vector.shape == (self.spec.dim,)}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        done = len(texts) - len(new)
        for batch in _batches(new):
            vectors = self._encode_new(batch)
            self._store.put(vectors)
            known |= vectors
            done += len(batch)
            if progress is not None:
                progress(done, len(texts))
        if progress is not None and not new:
            progress(done, len(texts))
        return np.stack([known[key] for key in keys]) if keys else np.zeros((0, self.spec.dim), dtype=np.float32)

    def words(self) -> Sequence[str]:
        return self._encoder.words()

    def save(self, folder: Path) -> None:
        if isinstance(self._encoder, SavedEncoder):
            self._encoder.save(folder)

    def _key(self, text: str) -> bytes:
        return hashlib.sha256(self._identity + b"\0" + text.encode()).digest()

    def _encode_new(self, texts: dict[bytes, str]) -> dict[bytes, Vectors]:
        vectors = self._encoder.encode(list(texts.values()))
        if vectors.shape != (len(texts), self.spec.dim):
            raise EncoderError(f"The encoder gave {vectors.shape}, not {(len(texts), self.spec.dim)}")
        return dict(zip(texts, vectors, strict=True))


def _batches(texts: dict[bytes, str]) -> Iterator[dict[bytes, str]]:
    """Texts of one length together, for encoders that pad."""
    order = sorted(texts.items(), key=lambda item: len(item[1]))
    for start in range(0, len(order), BATCH):
        yield dict(order[start : start + BATCH])
