"""Distillation: in comes a sentence-transformers model, out comes a static encoder some fifty times as fast.

Every token of the vocabulary goes through the model once; the vectors are cut to their principal components and
weighted by the logarithm of the token's rank, as vocabularies are ordered by frequency (Zipf's law). After
Model2Vec (van Dongen and Tulkens, https://github.com/MinishLab/model2vec).
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from routers.encoders.encoder import EncoderSpec, Progress, Vectors
from routers.encoders.static import StaticEncoder, StaticTable

COMPONENTS = 256


class Teacher(Protocol):
    """What is asked of the model: a `SentenceTransformerEncoder` is one."""

    spec: EncoderSpec

    def tokenizer_json(self) -> str: ...

    def encode_tokens(self, ids: Sequence[int], progress: Progress | None = None) -> Vectors: ...


def distil(teacher: Teacher, *, components: int = COMPONENTS, progress: Progress | None = None) -> StaticEncoder:
    """A static encoder made of `teacher`; about half a minute on two cores. Deterministic."""
    from tokenizers import Tokenizer  # noqa: PLC0415 - only where a model is loaded

    tokenizer = Tokenizer.from_str(teacher.tokenizer_json())
    vectors = teacher.encode_tokens(range(tokenizer.get_vocab_size()), progress)
    table = StaticTable.quantise(zipf_weights(len(vectors))[:, None] * principal_components(vectors, components))
    return StaticEncoder(table, tokenizer, teacher.spec.source)


def principal_components(vectors: Vectors, components: int) -> NDArray[np.float64]:
    """`vectors` (n, dim), centred, on their first `components` principal axes: (n, min(components, dim))."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    _, axes = np.linalg.eigh(centred.T @ centred)
    projected: NDArray[np.float64] = centred @ axes[:, ::-1][:, :components]
    return projected


def zipf_weights(size: int) -> NDArray[np.float64]:
    """log(1 + rank) for ranks 1 to `size`: a frequent token says little."""
    weights: NDArray[np.float64] = np.log1p(np.arange(1, size + 1, dtype=np.float64))
    return weights
