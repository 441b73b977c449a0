"""A static encoder: a table of one vector per token, a text is the mean of its tokens' vectors.

Flows in: `static.safetensors` (int8 table and a scale per row, which carries the token's weight) and
`tokenizer.json`. Needs numpy, tokenizers and safetensors, no torch. How a table is made: `routers.encoders.distil`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from routers.encoders.encoder import EncoderSpec, Progress, Vectors
from routers.encoders.token_ids import TokenIds, whole_words
from routers.errors import EncoderError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

TABLE_FILE = "static.safetensors"
TOKENIZER_FILE = "tokenizer.json"
MAX_TOKENS = 4_096
BATCH = 256
_LEAST_NORM = np.float32(1e-30)  # of no vector but zero


@dataclass(frozen=True, slots=True)
class StaticTable:
    """Token vectors: `rows` (vocabulary, dim) int8, `scales` (vocabulary,) float32; a vector is row times scale."""

    rows: NDArray[np.int8]
    scales: NDArray[np.float32]

    @classmethod
    def quantise(cls, vectors: NDArray[np.floating]) -> "StaticTable":
        """The table nearest to `vectors` (vocabulary, dim): each row scaled to the range of int8."""
        scales = np.abs(vectors).max(axis=1) / 127
        safe = np.where(scales > 0, scales, 1)
        return cls(np.rint(vectors / safe[:, None]).astype(np.int8), scales.astype(np.float32))


class StaticEncoder:
    """Mean of weighted token vectors, scaled to length 1. Immutable and thread-safe.

    A text with no known token becomes the zero vector.
    """

    def __init__(self, table: StaticTable, tokenizer: "Tokenizer", source: str, max_tokens: int = MAX_TOKENS) -> None:
        if tokenizer.get_vocab_size() > len(table.rows):
            raise EncoderError(
                f"The static table has {len(table.rows)} rows, its tokenizer {tokenizer.get_vocab_size()} tokens"
            )
        self._table = table
        self._tokenizer = tokenizer
        self._tokens = TokenIds(tokenizer)
        self.spec = EncoderSpec("static", source, table.rows.shape[1], max_tokens)

    @classmethod
    def load(cls, folder: Path, spec: EncoderSpec) -> "StaticEncoder":
        """Read the two files of `save`. Raises EncoderError where they are not such files."""
        from safetensors import SafetensorError  # noqa: PLC0415 - only where a table is loaded
        from safetensors.numpy import load_file  # noqa: PLC0415  # as the import above
        from tokenizers import Tokenizer  # noqa: PLC0415  # as the import above

        try:
            arrays = load_file(folder / TABLE_FILE)
            tokenizer = Tokenizer.from_str((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
            table = StaticTable(arrays["rows"], arrays["scales"])
        except (OSError, KeyError, SafetensorError) as error:
            raise EncoderError(f"The static encoder in {folder} cannot be read: {error}") from error
        return cls(table, tokenizer, spec.source, spec.max_tokens)

    def save(self, folder: Path) -> None:
        from safetensors.numpy import save_file  # noqa: PLC0415 - only where a table is written

        # safetensors writes memory as it lies, and reads it in row order.
        rows, scales = np.ascontiguousarray(self._table.rows), np.ascontiguousarray(self._table.scales)
        save_file({"rows": rows, "scales": scales}, folder / TABLE_FILE)
        (folder / TOKENIZER_FILE).write_text(self._tokenizer.to_str(), encoding="utf-8")

    def encode(self, texts: Sequence[str], progress: Progress | None = None) -> Vectors:
        vectors = np.zeros((len(texts), self.spec.dim), dtype=np.float32)
        for start in range(0, len(texts), BATCH):
            batch = self._tokens.of(texts[start : start + BATCH])
            for row, ids in enumerate(batch, start):
                vectors[row] = self._sum(ids[: self.spec.max_tokens])
            if progress is not None:
                progress(start + len(batch), len(texts))
        norms = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
        unit: Vectors = vectors / np.maximum(norms, _LEAST_NORM)[:, None]
        return unit

    def words(self) -> Sequence[str]:
        return whole_words(self._tokenizer)

    def _sum(self, ids: NDArray[np.uint32]) -> Vectors:
        """(dim,): the sum of the tokens' vectors, which points where their mean does."""
        rows, scales = self._table.rows.take(ids, axis=0), self._table.scales.take(ids)
        total: Vectors = scales @ rows.astype(np.float32)
        return total
