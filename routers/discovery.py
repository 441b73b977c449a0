"""Discovery: in come prompts and a router, out come proposals for categories that the router does not have yet.

prompts -> those that the router rejects, each once -> vectors -> groups -> those that stand apart from known traffic
        -> size, cohesion, nearest known category, a name

A proposal is for a person to judge: `coe discover` shows it with examples.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.abstention import GENERAL
from routers.encoders.encoder import Progress, Vectors
from routers.errors import DataError
from routers.grouping import Grouping, group
from routers.naming import name_groups
from routers.router import CategoryRouter, Classification
from routers.validation import FOLDS

STANDS_APART = 0.1
BATCH = 256
SMALLEST_CATEGORY = FOLDS  # what training asks for

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class DiscoverySettings:
    """What is looked for.

    `rejected_only`: leave out prompts that the router puts into a category. `max_groups` at most, each of `min_size`
    prompts or more.
    """

    rejected_only: bool = True
    max_groups: int = 20
    min_size: int = 10
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ProposedCategory:
    """A group of prompts, the most central first.

    `cohesion` in [-1, 1]: mean cosine between two of them. `nearest`: the known category that the router holds
    likeliest, by `nearest_probability` in [0, 1] on average.
    """

    name: str
    prompts: tuple[str, ...]
    cohesion: float
    nearest: str
    nearest_probability: float


@dataclass(frozen=True, slots=True)
class Discovery:
    """What was found, the largest group first.

    `scattered`: prompts looked at that belong to no proposal. `given` counts all prompts, `repeats` those that were
    given before, `known` those that the router has a category for and that were left out. `silhouette` in [-1, 1]: the
    mean one of all prompts looked at; None where no number of groups stood out, so that they are one group or none.
    """

    proposals: tuple[ProposedCategory, ...]
    scattered: tuple[str, ...]
    given: int
    repeats: int
    known: int
    silhouette: float | None


@dataclass(frozen=True, slots=True, eq=False)
class _Looked:
    """Prompts looked at, with what the encoder and the router say of them, row by row."""

    texts: tuple[str, ...]
    vectors: Vectors
    found: tuple[Classification, ...]


def discover(
    texts: Sequence[str],
    router: CategoryRouter,
    settings: DiscoverySettings | None = None,
    progress: Progress | None = None,
) -> Discovery:
    """Groups of `texts` that could be categories; none where they are few or scattered.

    A prompt belongs to a proposal where it is closer to the others of its group than to what the router was trained on:
    its mean cosine to them exceeds that to the training prompts by a tenth of what is left to 1. In a random mix of
    prompts the two are the same, whatever the encoder. The same texts, router and seed give the same proposals.
    Raises DataError for settings that cannot be met, and EncoderError.
    """
    settings = settings or DiscoverySettings()
    _check(settings)
    distinct = _distinct(texts)
    looked = _look(distinct, router, settings, progress)
    known, repeats = len(distinct) - len(looked.texts), len(texts) - len(distinct)
    if len(looked.texts) < settings.min_size:
        return Discovery((), looked.texts, len(texts), repeats, known, None)
    most = min(settings.max_groups, len(looked.texts) // settings.min_size)
    grouping = group(looked.vectors, most, settings.seed)
    familiar = router.prototypes.mean_cosine(looked.vectors)
    apart = (_apart(rows, looked.vectors, familiar) for rows in _fitting(grouping))
    groups = sorted((rows for rows in apart if len(rows) >= settings.min_size), key=len, reverse=True)
    grouped = {row for rows in groups for row in rows}
    scattered = tuple(text for row, text in enumerate(looked.texts) if row not in grouped)
    names = name_groups(
        [[looked.texts[row] for row in rows] for rows in groups], scattered, {*router.categories, GENERAL}
    )
    proposals = tuple(_propose(name, rows, looked) for name, rows in zip(names, groups, strict=True))
    silhouette = None if grouping.silhouettes is None else float(grouping.silhouettes.mean())
    return Discovery(proposals, scattered, len(texts), repeats, known, silhouette)


def _check(settings: DiscoverySettings) -> None:
    if settings.min_size < SMALLEST_CATEGORY:
        raise DataError(
            f"A category needs {SMALLEST_CATEGORY} prompts or more to be trained on, not {settings.min_size}"
        )
    if settings.max_groups < 1:
        raise DataError(f"One group or more must be looked for, not {settings.max_groups}")


def _distinct(texts: Sequence[str]) -> list[str]:
    """The first of those that differ in case and spaces alone; empty ones are none."""
    by_key: dict[str, str] = {}
    for text in texts:
        by_key.setdefault(" ".join(text.split()).casefold(), text.strip())
    by_key.pop("", None)
    return list(by_key.values())


def _look(
    texts: Sequence[str], router: CategoryRouter, settings: DiscoverySettings, progress: Progress | None
) -> _Looked:
    kept: list[str] = []
    found: list[Classification] = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        for text, classification in zip(batch, router.classify_batch(batch), strict=True):
            if classification.abstained or not settings.rejected_only:
                kept.append(text)
                found.append(classification)
        if progress is not None:
            progress(start + len(batch), len(texts))
    return _Looked(tuple(kept), router.encoder.encode([router.read(text) for text in kept]), tuple(found))


def _fitting(grouping: Grouping) -> Iterator[Rows]:
    """The rows of each group that fit it: those with less than half of the mean silhouette lie between groups."""
    labels, silhouettes = grouping.labels, grouping.silhouettes
    fits = np.ones(len(labels), bool) if silhouettes is None else silhouettes >= silhouettes.mean() / 2
    for label in range(int(labels.max()) + 1):
        yield np.flatnonzero((labels == label) & fits)


def _apart(rows: Rows, vectors: Vectors, familiar: Vectors) -> Rows:
    """Those of a group's rows that stand apart from known prompts, the most central first.

    `familiar` (n,): mean cosine of each of all rows to known prompts.
    """
    closeness = _closeness(vectors[rows])
    rows = rows[closeness - familiar[rows] >= STANDS_APART * (1 - familiar[rows])]
    return rows[np.argsort(-_closeness(vectors[rows]), kind="stable")]


def _closeness(vectors: Vectors) -> Vectors:
    """(n,): mean cosine of each row to the others; 1 for a row alone."""
    others = max(len(vectors) - 1, 1)
    closeness: Vectors = (vectors @ vectors.sum(axis=0) - (vectors * vectors).sum(axis=1)) / others
    return closeness


def _propose(name: str, rows: Rows, looked: _Looked) -> ProposedCategory:
    mean = {
        category: float(np.mean([looked.found[row].probabilities[category] for row in rows]))
        for category in looked.found[rows[0]].probabilities
    }
    nearest = max(mean, key=mean.__getitem__)
    cohesion = float(_closeness(looked.vectors[rows]).mean())
    return ProposedCategory(name, tuple(looked.texts[row] for row in rows), cohesion, nearest, mean[nearest])
