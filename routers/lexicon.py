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
        starts, columns, values = [0], [np.zeros(0, np.uint32)], [np.zeros(0, np.float32)]
        for text in texts:
            own, counts = _counted(_grams(text))
            weights = (1 + np.log(counts.astype(np.float32))) * self.idf[own]
            columns.append(own)
            values.append(weights / max(math.sqrt(weights @ weights), 1e-9))
            starts.append(starts[-1] + len(own))
        indices, rows = np.concatenate(columns).astype(np.int32), np.array(starts, dtype=np.int32)
        return csr_matrix((np.concatenate(values), indices, rows), shape=(len(texts), COLUMNS))


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
    chunks = text[:MAX_CHARS].lower().split()  # no word spans a space, and most chunks were in an earlier prompt
    words = [
        word for chunk in chunks for word in (_hashed(chunk) if len(chunk) <= CACHED_CHARS else _hash_chunk(chunk))
    ]
    pairs = [zlib.crc32(second.after_a_space, first.crc) for first, second in pairwise(words)]
    pieces = np.frombuffer(b"".join([word.columns for word in words]), dtype=np.uint32)
    return np.concatenate([pieces, np.array(pairs, dtype=np.uint32) % COLUMNS])


class _Word(NamedTuple):
    """`columns`: uint32 each, of the word and of its pieces. The rest makes a pair's crc32 out of its two words'."""

    columns: bytes
    crc: int
    after_a_space: bytes


def _hash(word: str) -> _Word:
    """The pieces are those of the word with its borders marked."""
    marked = f"<{word}>"
    # The bytes of ASCII can be cut where its characters can.
    pieces = _pieces(marked.encode()) if marked.isascii() else [piece.encode() for piece in _pieces(marked)]
    crcs = [zlib.crc32(gram) for gram in (word.encode(), *pieces)]
    return _Word(array("I", [crc % COLUMNS for crc in crcs]).tobytes(), crcs[0], f" {word}".encode())


def _pieces(marked: Text) -> list[Text]:
    lengths = range(SHORTEST_PIECE, min(LONGEST_PIECE, len(marked) - 1) + 1)
    return [marked[start : start + length] for length in lengths for start in range(len(marked) - length + 1)]


def _hash_chunk(chunk: str) -> tuple[_Word, ...]:
    return tuple(_hashed_word(word) if len(word) <= CACHED_CHARS else _hash(word) for word in _WORD.findall(chunk))


_hashed_word = lru_cache(maxsize=65_536)(_hash)
_hashed = lru_cache(maxsize=65_536)(_hash_chunk)
