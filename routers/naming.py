"""Names for groups of texts: in come the texts of each group, out comes a name made of its most telling words.

Words are weighed by class-based TF-IDF (Grootendorst, BERTopic, arXiv 2203.05794, equation 2), with a group as a class.
"""

from collections.abc import Collection, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

WORDS = 2
LONGEST_WORD = 24
FALLBACK = "new"


def name_groups(groups: Sequence[Sequence[str]], others: Sequence[str], taken: Collection[str]) -> list[str]:
    """A name for each of `groups`, none of them twice or among `taken`.

    `others` are texts of no group, against which a word must tell as well. A word of a name stands in two texts of its
    group or more, so that no name is made of what one person wrote. Groups without such a word are `new`, `new-2`, ….
    """
    names: list[str] = []
    for words in _telling_words([*groups, others])[: len(groups)]:
        name = "-".join(words) or FALLBACK
        names.append(_untaken(name, {*taken, *names}))
    return names


def _untaken(name: str, taken: Collection[str]) -> str:
    number, found = 1, name
    while found in taken:
        number += 1
        found = f"{name}-{number}"
    return found


def _telling_words(classes: Sequence[Sequence[str]]) -> list[list[str]]:
    """The two words of most weight in each class, at most."""
    from sklearn.feature_extraction.text import CountVectorizer  # noqa: PLC0415 - discovery only

    vectorizer = CountVectorizer(
        binary=True,  # a text counts a word once, however long it is
        stop_words="english",
        token_pattern=r"(?u)\b[^\W\d]\w+\b",  # noqa: S106  # no password, and no numbers in names
    )
    split = vectorizer.build_analyzer()
    if not any(split(text) for texts in classes for text in texts):
        return [[] for _ in classes]
    occurrences = vectorizer.fit_transform([text for texts in classes for text in texts])
    starts = np.cumsum([0, *map(len, classes)])
    counts = np.array([occurrences[start:end].sum(axis=0).A1 for start, end in pairwise(starts)])
    weights = _class_tf_idf(counts)
    words = vectorizer.get_feature_names_out()
    usable = (counts >= 2) & np.array([len(word) <= LONGEST_WORD for word in words])
    telling = [
        [place for place in np.argsort(-row, kind="stable") if can[place]][:WORDS]
        for row, can in zip(weights, usable, strict=True)
    ]
    return [[str(words[place]) for place in places] for places in telling]


def _class_tf_idf(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """(classes, words): a word's share of the class, times log(1 + words of an average class / its count in all)."""
    totals = counts.sum(axis=1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    weights: NDArray[np.float64] = shares * np.log1p(totals.mean() / counts.sum(axis=0))
    return weights
