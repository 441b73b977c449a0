"""Encoders made of others, or of none: in come texts, out come the vectors of several encoders side by side."""

from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import numpy as np

from routers.encoders.encoder import Encoder, EncoderSpec, Progress, SavedEncoder, Vectors
from routers.errors import EncoderError


class ConcatenatedEncoder:
    """The vectors of `parts` side by side, scaled to length 1: each has the same say. As thread-safe as they are."""

    def __init__(self, parts: Sequence[Encoder]) -> None:
        if len(parts) < 2:
            raise EncoderError("A concatenation needs two encoders or more, such as `static+minilm`")
        self.parts = tuple(parts)
        specs = tuple(part.spec for part in parts)
        self.spec = EncoderSpec(
            kind="concatenated",
            source=" + ".join(spec.source for spec in specs),
            dim=sum(spec.dim for spec in specs),
            max_tokens=max(spec.max_tokens for spec in specs),
            parts=specs,
        )

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        vectors = np.hstack([part.encode(texts, progress) for part in self.parts])
        norms = np.linalg.norm(vectors, axis=1, keepdims=True)
        unit: Vectors = vectors / np.where(norms > 0, norms, 1)
        return unit

    def words(self) -> Sequence[str]:
        return list(dict.fromkeys(chain.from_iterable(part.words() for part in self.parts)))

    def save(self, folder: Path) -> None:
        for number, part in enumerate(self.parts):
            if isinstance(part, SavedEncoder):
                place = part_folder(folder, number)
                place.mkdir()
                part.save(place)


def part_folder(folder: Path, number: int) -> Path:
    """Where the part of that number keeps its files, in the folder of the router."""
    return folder / f"encoder-{number}"


class NoEncoder:
    """Vectors of no numbers: a router with it classifies by the lexicon alone."""

    spec = EncoderSpec(kind="none", source="", dim=0, max_tokens=0)

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:  # noqa: ARG002 - as every encoder
        return np.zeros((len(texts), 0), dtype=np.float32)

    def words(self) -> Sequence[str]:
        return ()
