"""The lexicon: in come texts, out come sparse vectors of the words and pieces of words that they use.

An encoder tells what a prompt is about; its words tell what is asked for ("translate", "SELECT", "tl;dr"). Words,
pairs of neighbouring words and pieces of 2 to 4 characters within a word are hashed into a fixed number of columns
(the hashing trick, Weinberger et al., arXiv 0902.2206), weighted by 1 + log(count) and by inverse document frequency.
"""

import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from routers.encoders.encoder import Vectors

COLUMNS = 8_192
MAX_CHARS = 1_500  # bounds the time of a long prompt; its head says what is asked for
SHORTEST_PIECE, LONGEST_PIECE = 2, 4

_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """`idf` (8192,) float32: inverse document frequency of each column."""

    idf: Vectors

    def features(self, texts: Sequence[str]) -> csr_matrix:
        """(n, 8192) float32, rows of length 1; a text without words is the zero vector."""
        rows, columns, values = [0], [], []
        for text in texts:
            own, counts = np.unique(np.array(_columns(text), dtype=np.int32), return_counts=True)
            weights = (1 + np.log(counts.astype(np.float32))) * self.idf[own]
            columns.append(own)
            values.append(weights / max(math.sqrt(weights @ weights), 1e-9))
            rows.append(rows[-1] + len(own))
        data = np.concatenate(values) if values else np.zeros(0, np.float32)
        indices = np.concatenate(columns) if columns else np.zeros(0, np.int32)
        return csr_matrix((data, indices, rows), shape=(len(texts), COLUMNS), dtype=np.float32)


def fit_lexicon(texts: Sequence[str]) -> Lexicon:
    """Document frequencies from `texts`; labels are not looked at."""
    documents = np.zeros(COLUMNS)
    for text in texts:
        documents[list(set(_columns(text)))] += 1
    return Lexicon((np.log((1 + len(texts)) / (1 + documents)) + 1).astype(np.float32))


def _columns(text: str) -> list[int]:
    """The column of each gram of the text's first 1,500 characters; a column occurs as often as its grams do."""
    words = _WORD.findall(text[:MAX_CHARS].lower())
    columns = [zlib.crc32(f"{first} {second}".encode()) % COLUMNS for first, second in pairwise(words)]
    for word in words:
        columns += _word_columns(word)
    return columns


@lru_cache(maxsize=65_536)  # most words of a prompt were in an earlier one
def _word_columns(word: str) -> tuple[int, ...]:
    """Of the word, and of its pieces with its borders marked."""
    marked = f"<{word}>"
    lengths = range(SHORTEST_PIECE, min(LONGEST_PIECE, len(marked) - 1) + 1)
    pieces = (marked[start : start + length] for length in lengths for start in range(len(marked) - length + 1))
    return tuple(zlib.crc32(gram.encode()) % COLUMNS for gram in (word, *pieces))
