"""Spelling: in comes a text, out comes the same with slips of the fingers undone, as far as the known words tell.

A word that neither they nor the encoder's vocabulary hold, but that is one letter from a word that they do hold, is
taken for it: one letter left out, added, swapped with the next or changed, anywhere but at the beginning. Candidates
are found by their deletions (SymSpell, Garbe, https://github.com/wolfgarbe/SymSpell), in microseconds whatever their
number. Knows no language. A good word that is new may be changed, too: measured, that cost nothing, and slips
uncorrected cost much.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain

LONGEST = 24  # letters; the shortest word has four
# Letters: a shorter word with one changed is mostly another good word (rook, root), but for keys that lie together.
CHANGED_FROM = 5
MOST_WORDS = 50_000  # bounds memory: some 500 bytes each
# In so many training texts or more: a word of a single one may be a slip itself, or a name that is nobody's business.
LEAST_TEXTS = 2
REMEMBERED = 65_536
_KEYS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
_WORD = re.compile(r"[^\W\d_]{4,}")
_CHUNK = re.compile(r"\S+")


@dataclass(frozen=True, slots=True, eq=False)
class Spelling:
    """`words`: the known ones in lower case, likeliest first. As thread-safe as a dict is."""

    words: tuple[str, ...]
    _places: dict[str, int] = field(init=False, repr=False)
    _by_deletion: dict[str, list[str]] = field(init=False, repr=False)
    _meant: dict[str, str] = field(init=False, repr=False)
    _chunks: dict[str, str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_deletion: dict[str, list[str]] = {}
        for word in self.words:
            for deletion in _deletions(word):
                by_deletion.setdefault(deletion, []).append(word)
        object.__setattr__(self, "_places", {word: place for place, word in enumerate(self.words)})
        object.__setattr__(self, "_by_deletion", by_deletion)
        object.__setattr__(self, "_meant", {})
        object.__setattr__(self, "_chunks", {})

    def correct(self, text: str) -> str:
        """`text` with the known words in place of slips; what is corrected becomes lower case."""
        # No word spans a space, and most of what stands between spaces was in an earlier prompt.
        chunks = text.split()
        corrected = list(map(self._corrected, chunks))
        if corrected == chunks:
            return text
        between = _CHUNK.split(text)
        return "".join(chain.from_iterable(zip(between, [*corrected, ""], strict=True)))

    def _corrected(self, chunk: str) -> str:
        corrected = self._chunks.get(chunk)
        if corrected is None:
            corrected = _WORD.sub(self._meant_by, chunk)
            if len(chunk) <= 2 * LONGEST:
                if len(self._chunks) >= REMEMBERED:
                    self._chunks.clear()
                self._chunks[chunk] = corrected
        return corrected

    def _meant_by(self, found: re.Match[str]) -> str:
        word = found[0].lower()
        meant = self._known_word(word)
        return found[0] if meant == word else meant

    def _known_word(self, word: str) -> str:
        """The likeliest known word next to `word`; `word` where there is none, or where it is known itself."""
        if word in self._places or len(word) > LONGEST:
            return word
        meant = self._meant.get(word)
        if meant is None:
            near = {
                known
                for deletion in _deletions(word)
                for known in self._by_deletion.get(deletion, ())
                if known[0] == word[0] and _one_slip(word, known)
            }
            meant = min(near, key=self._places.__getitem__, default=word)
            if len(self._meant) >= REMEMBERED:
                self._meant.clear()
            self._meant[word] = meant
        return meant


def fit_spelling(texts: Iterable[str], vocabulary: Iterable[str] = ()) -> Spelling:
    """The words of two of `texts` or more, most frequent first, and behind them those of `vocabulary`, in its order."""
    seen = Counter(word for text in texts for word in set(_WORD.findall(text.lower())) if len(word) <= LONGEST)
    often = sorted((word for word, count in seen.items() if count >= LEAST_TEXTS), key=lambda word: (-seen[word], word))
    others = (word for word in vocabulary if len(word) <= LONGEST and _WORD.fullmatch(word))
    return Spelling(tuple(dict.fromkeys([*often, *others]))[:MOST_WORDS])


def _deletions(word: str) -> Sequence[str]:
    """`word`, and what is left of it without one of its letters but the first."""
    return [word, *{word[:place] + word[place + 1 :] for place in range(1, len(word))}]


def _one_slip(word: str, other: str) -> bool:
    """Whether one insertion, deletion, change or swap of neighbours makes one of the other (Damerau)."""
    start = 0
    shorter = min(len(word), len(other))
    while start < shorter and word[start] == other[start]:
        start += 1
    mine, its = word[start:], other[start:]
    return (
        mine[1:] == its
        or mine == its[1:]
        or (mine[1:] == its[1:] and (len(word) >= CHANGED_FROM or _lie_together(mine[0], its[0])))
        or (mine[:2] == its[1::-1] and mine[2:] == its[2:] and len(mine) > 1)
    )


def _lie_together(letter: str, other: str) -> bool:
    """Whether two letters are neighbours on a US keyboard, whose rows are shifted by half a key."""
    places = [
        (row, keys.index(one) + row / 2) for one in (letter, other) for row, keys in enumerate(_KEYS) if one in keys
    ]
    return len(places) == 2 and all(abs(mine - its) <= 1 for mine, its in zip(*places, strict=True))
