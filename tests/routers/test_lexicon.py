"""The words of a prompt as features."""

import math
import re
import zlib
from collections import Counter
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routers.lexicon import COLUMNS, MAX_CHARS, fit_lexicon

LEXICON = fit_lexicon(["translate this to French", "write a poem", "write a query"])


@given(st.lists(st.text(max_size=200), min_size=1, max_size=5))
def test_any_text_becomes_a_row_of_length_one_or_zero(texts: list[str]) -> None:
    features = LEXICON.features(texts)

    assert features.shape == (len(texts), COLUMNS)
    lengths = np.sqrt(np.asarray(features.multiply(features).sum(axis=1))).ravel()
    for text, length in zip(texts, lengths, strict=True):
        assert np.isclose(length, 1.0, atol=1e-4) if text.strip() else length == 0


def test_rare_words_weigh_more_than_common_ones() -> None:
    assert LEXICON.idf.argmin() != LEXICON.idf.argmax()
    common, rare = LEXICON.features(["write"]), LEXICON.features(["translate"])
    both = LEXICON.features(["write translate"])

    assert both.multiply(rare.astype(bool)).sum() > both.multiply(common.astype(bool)).sum()


def test_case_does_not_matter_and_a_long_text_costs_no_more_than_its_head() -> None:
    upper, lower = LEXICON.features(["Write A POEM"]), LEXICON.features(["write a poem"])
    assert np.array_equal(upper.toarray(), lower.toarray())
    head = "word " * (MAX_CHARS // 5)

    long, short = LEXICON.features([head + "tail " * 50_000]), LEXICON.features([head])
    assert np.array_equal(long.toarray(), short.toarray())


@given(st.text(max_size=300) | st.text(alphabet="ab_1 ,\n", max_size=300))
def test_a_row_holds_every_word_pair_and_piece_of_a_text(text: str) -> None:
    words = re.findall(r"\w+|[^\w\s]", text.lower())
    grams = words + [f"{first} {second}" for first, second in pairwise(words)]
    for marked in (f"<{word}>" for word in words):
        grams += [marked[i : i + n] for n in (2, 3, 4) if n < len(marked) for i in range(len(marked) - n + 1)]
    counts = Counter(zlib.crc32(gram.encode()) % COLUMNS for gram in grams)
    expected = {column: (1 + math.log(count)) * LEXICON.idf[column] for column, count in counts.items()}
    length = math.sqrt(sum(weight**2 for weight in expected.values()))

    row = LEXICON.features([text])

    assert list(row.indices) == sorted(expected)
    for column, weight in zip(row.indices.tolist(), row.data.tolist(), strict=True):
        assert math.isclose(weight, expected[column] / length, rel_tol=1e-4)
