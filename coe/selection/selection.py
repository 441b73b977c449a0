"""Which experts to keep for a task: measured candidates go in, a ranking with reasons and a set come out.

Duplicates are dropped first, then guessers, and of the rest the set with the best mean score less `weight` times the
mean similarity of its pairs is chosen. The order of the candidates changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TypeAlias

from coe.selection.diversity import Compare
from coe.selection.scoring import Candidate, Reason, Suspicion, suspicions

EXACT_SUBSETS = 20_000
DEFAULT_WEIGHT = 0.25

Similarities: TypeAlias = Mapping[tuple[str, str], float]
"""In [0, 1], by the names of a pair in alphabetical order."""


@dataclass(frozen=True, slots=True)
class Ranked:
    """One candidate's place. `duplicate_of` names the better candidate; a duplicate is not examined further."""

    candidate: Candidate
    chosen: bool
    reason: Reason | None = None
    suspicion: Suspicion | None = None
    duplicate_of: str | None = None


@dataclass(frozen=True, slots=True)
class Selection:
    """The candidates, best score first, and the chosen set's value: mean score less weighted mean similarity.

    `value` is None where nobody is left to choose. `exact` tells that all subsets were tried.
    """

    ranking: tuple[Ranked, ...]
    similarities: Similarities
    value: float | None
    exact: bool

    @property
    def chosen(self) -> tuple[str, ...]:
        """Names, best score first."""
        return tuple(place.candidate.name for place in self.ranking if place.chosen)


def select(
    candidates: Sequence[Candidate], size: int, compare: Compare, *, chance: float, weight: float = DEFAULT_WEIGHT
) -> Selection:
    """The best set of at most `size` (1 or more) of `candidates`, whose names differ.

    Args:
        candidates: all measured on the same rows.
        size: how many to choose; fewer are chosen where fewer are left.
        compare: how alike two of them are.
        chance: share of rows that the best constant answer gets right, in [0, 1).
        weight: what similarity costs against score, at least 0.
    """
    ranked = sorted(candidates, key=lambda candidate: (-candidate.score, candidate.name))
    originals = _originals(ranked, compare)
    unique = [candidate for candidate in ranked if candidate.name not in originals]
    suspected = suspicions(unique, chance)
    kept = [candidate for candidate in unique if suspected[candidate.name].reason is None]
    similarities = {_pair(one, other): compare(one, other).similarity for one, other in combinations(kept, 2)}
    search = _Search({candidate.name: candidate.score for candidate in kept}, similarities, weight)
    chosen, exact = search.best(min(size, len(kept)))
    ranking = tuple(
        Ranked(candidate, candidate.name in chosen, "duplicate", duplicate_of=originals[candidate.name])
        if candidate.name in originals
        else Ranked(candidate, candidate.name in chosen, suspected[candidate.name].reason, suspected[candidate.name])
        for candidate in ranked
    )
    return Selection(ranking, similarities, search.value(chosen) if chosen else None, exact)


def _originals(ranked: Sequence[Candidate], compare: Compare) -> dict[str, str]:
    """Every duplicate's name with that of the better candidate that it repeats."""
    originals: dict[str, str] = {}
    unique: list[Candidate] = []
    for candidate in ranked:
        original = next((better.name for better in unique if compare(better, candidate).duplicate), None)
        if original is None:
            unique.append(candidate)
        else:
            originals[candidate.name] = original
    return originals


def _pair(one: Candidate, other: Candidate) -> tuple[str, str]:
    return (one.name, other.name) if one.name < other.name else (other.name, one.name)


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for the best set. Names are tried in alphabetical order, so that ties always fall alike."""

    scores: Mapping[str, float]
    similarities: Similarities
    weight: float

    def value(self, names: Sequence[str]) -> float:
        pairs = [self.similarities[pair] for pair in combinations(sorted(names), 2)]
        similarity = math.fsum(pairs) / len(pairs) if pairs else 0.0
        return math.fsum(self.scores[name] for name in names) / len(names) - self.weight * similarity

    def best(self, size: int) -> tuple[tuple[str, ...], bool]:
        """The set, and whether every set was tried: else it grew by the best expert at a time."""
        names = sorted(self.scores)
        if not size:
            return (), True
        if math.comb(len(names), size) <= EXACT_SUBSETS:
            return max(combinations(names, size), key=self.value), True
        chosen: tuple[str, ...] = ()
        for _ in range(size):
            chosen = max(((*chosen, name) for name in names if name not in chosen), key=self.value)
        return chosen, False
