"""The lexicon: in come texts, out come sparse vectors of the words and pieces of words that they use.

An encoder tells what a prompt is about; its words tell what is asked for ("translate", "SELECT", "tl;dr"). Words,
pairs of neighbouring words and pieces of 2 to 4 characters within a word are hashed into a fixed number of columns
(the hashing trick, Weinberger et al., arXiv 0902.2206), weighted by 1 + log(count) and by inverse document frequency.
"""

import math
import re
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from routers.encoders.encoder import Vectors

COLUMNS = 8_192
MAX_CHARS = 1_500  # bounds the time of a long prompt; its head says what is asked for
CACHED_CHARS = 32  # bounds the memory of the cache: longer chunks seldom come back
SHORTEST_PIECE, LONGEST_PIECE = 2, 4

Text = TypeVar("Text", str, bytes)
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True, eq=False)
class Lexicon:
    """`idf` (8192,) float32: inverse document frequency of each column."""

    idf: Vectors

    def features(self, texts: Sequence[str]) -> csr_matrix:
        """(n, 8192) float32, rows of length 1; a text without words is the zero vector."""
        rows = [self.row(text) for text in texts]
        starts = np.cumsum([0, *(len(columns) for columns, _ in rows)], dtype=np.int32)
        columns = np.concatenate([np.zeros(0, np.uint32), *(columns for columns, _ in rows)]).astype(np.int32)
        weights = np.concatenate([np.zeros(0, np.float32), *(weights for _, weights in rows)])
        return csr_matrix((weights, columns, starts), shape=(len(texts), COLUMNS))

    def row(self, text: str) -> tuple[NDArray[np.uint32], Vectors]:
        """The columns of one text, ascending, and its weights there."""
        columns, counts = _counted(_grams(text))
        weights = (1 + np.log(counts.astype(np.float32))) * self.idf[columns]
        return columns, weights / max(math.sqrt(weights @ weights), 1e-9)


def fit_lexicon(texts: Sequence[str]) -> Lexicon:
    """Document frequencies from `texts`; labels are not looked at."""
    documents = np.zeros(COLUMNS)
    for text in texts:
        documents[_grams(text)] += 1  # a column that is there several times counts once
    return Lexicon((np.log((1 + len(texts)) / (1 + documents)) + 1).astype(np.float32))


def _counted(columns: NDArray[np.uint32]) -> tuple[NDArray[np.uint32], NDArray[np.int64]]:
    """`np.unique` with counts, in half its time for the few hundred columns of a prompt."""
    ordered = np.sort(columns)
    borders = np.ones(len(ordered) + 1, dtype=np.bool_)
    np.not_equal(ordered[1:], ordered[:-1], out=borders[1:-1])
    places = borders.nonzero()[0]
    return ordered[places[:-1]], places[1:] - places[:-1]


def _grams(text: str) -> NDArray[np.uint32]:
    """The column of each gram of the text's first 1,500 characters; a column occurs as often as its grams do."""
    # No word spans a space, and most of what stands between spaces was in an earlier prompt.
    chunks = [
        _hashed(chunk) if len(chunk) <= CACHED_CHARS else _hash(chunk) for chunk in text[:MAX_CHARS].lower().split()
    ]
    pairs = [zlib.crc32(second.after_a_space, first.crc) for first, second in pairwise(chunks)]
    own = np.frombuffer(b"".join([chunk.columns for chunk in chunks]), dtype=np.uint32)
    return np.concatenate([own, np.array(pairs, dtype=np.uint32) % COLUMNS])


class _Chunk(NamedTuple):
    """Words without a space between them. `columns`: uint32 each, of words, pieces and pairs of neighbours.

    The rest makes pairs with other chunks: `crc` of the last word, and the first one `after_a_space`.
    """

    columns: bytes
    crc: int
    after_a_space: bytes


def _hash(chunk: str) -> _Chunk:
    words = _WORD.findall(chunk)
    columns = b"".join([_hashed_word(word) if len(word) <= CACHED_CHARS else _hash_word(word) for word in words])
    pairs = [zlib.crc32(f"{first} {second}".encode()) % COLUMNS for first, second in pairwise(words)]
    return _Chunk(columns + array("I", pairs).tobytes(), zlib.crc32(words[-1].encode()), f" {words[0]}".encode())


def _hash_word(word: str) -> bytes:
    """The columns of the word and of its pieces, which are those of the word with its borders marked."""
    marked = f"<{word}>"
    # The bytes of ASCII can be cut where its characters can.
    pieces = _pieces(marked.encode()) if marked.isascii() else [piece.encode() for piece in _pieces(marked)]
    return array("I", [zlib.crc32(gram) % COLUMNS for gram in (word.encode(), *pieces)]).tobytes()


def _pieces(marked: Text) -> list[Text]:
    lengths = range(SHORTEST_PIECE, min(LONGEST_PIECE, len(marked) - 1) + 1)
    return [marked[start : start + length] for length in lengths for start in range(len(marked) - length + 1)]


_hashed_word = lru_cache(maxsize=65_536)(_hash_word)
_hashed = lru_cache(maxsize=65_536)(_hash)
