"""Encoders: in come texts, out come unit vectors. What every encoder has, and the spec that one is opened from.

Model sources (`wheel:…`, `hf:…`, `path:…`) are made into a folder by the caller's `resolve`: this package downloads
nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

EncoderKind = Literal["sentence-transformers", "static", "onnx-int8", "concatenated", "none"]
Vectors = NDArray[np.float32]
Resolve = Callable[[str], Path]
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """What is needed to open an encoder again.

    `source`: the model that it is, or that it was distilled from. `dim`: length of a vector.
    `max_tokens`: tokens of a text that are read; what is behind them has no influence. `parts`: of a concatenation.
    """

    kind: EncoderKind
    source: str
    dim: int
    max_tokens: int
    parts: "tuple[EncoderSpec, ...]" = ()


class Encoder(Protocol):
    """Texts to vectors. `encode` may be called from several threads."""

    @property
    def spec(self) -> EncoderSpec: ...

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        """(n, dim) rows of length 1, in the order of `texts`; `progress(done, n)` is called as batches end."""
        ...

    def words(self) -> Sequence[str]:
        """Whole words that its tokenizer knows, in lower case, in the order of their ids; none where it has none."""
        ...


@runtime_checkable
class SavedEncoder(Encoder, Protocol):
    """An encoder that lives in its router's folder, as a whole or in part."""

    def save(self, folder: Path) -> None:
        """Write there what `open_encoder` reads beside the spec."""
        ...
