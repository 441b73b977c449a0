"""The words of a prompt as features."""

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
