"""The lexicon: in come texts, out come sparse vectors of the words and pieces of words that they use.

An encoder tells what a prompt is about; its words tell what is asked for ("translate", "SELECT", "tl;dr"). Words,
pairs of neighbouring words and pieces of 2 to 4 characters within a word are hashed into a fixed number of columns
(the hashing trick, Weinberger et al., arXiv 0902.2206), weighted by 1 + log(count) and by inverse document frequency.
"""

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from scipy.sparse import csr_matrix

from routers.encoders import Vectors

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
            counts = Counter(zlib.crc32(gram.encode()) % COLUMNS for gram in grams(text))
            own = np.fromiter(counts.keys(), dtype=np.int32, count=len(counts))
            weights = (1 + np.log(np.fromiter(counts.values(), dtype=np.float32, count=len(counts)))) * self.idf[own]
            columns.append(own)
            values.append(weights / max(float(np.linalg.norm(weights)), 1e-9))
            rows.append(rows[-1] + len(own))
        data = np.concatenate(values) if values else np.zeros(0, np.float32)
        indices = np.concatenate(columns) if columns else np.zeros(0, np.int32)
        return csr_matrix((data, indices, rows), shape=(len(texts), COLUMNS), dtype=np.float32)


def fit_lexicon(texts: Sequence[str]) -> Lexicon:
    """Document frequencies from `texts`; labels are not looked at."""
    documents = np.zeros(COLUMNS)
    for text in texts:
        documents[list({zlib.crc32(gram.encode()) % COLUMNS for gram in grams(text)})] += 1
    return Lexicon((np.log((1 + len(texts)) / (1 + documents)) + 1).astype(np.float32))


def grams(text: str) -> Iterator[str]:
    """Words, pairs of words, and pieces of words with their borders marked, of the first 1,500 characters."""
    words = _WORD.findall(text[:MAX_CHARS].lower())
    yield from words
    yield from (f"{first} {second}" for first, second in pairwise(words))
    for word in words:
        marked = f"<{word}>"
        for length in range(SHORTEST_PIECE, min(LONGEST_PIECE, len(marked) - 1) + 1):
            for start in range(len(marked) - length + 1):
                yield marked[start : start + length]
