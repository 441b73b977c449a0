"""Texts are known again by marks that hold none of their words."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from routers.marks import text_marks


def test_case_and_white_space_do_not_count() -> None:
    marks = text_marks(
        ["Why is  the sky blue?", " why IS the\n sky blue? ", "Why is the sky blue", "STRASSE", "straße"]
    )
    assert marks.dtype == np.uint64
    assert marks[0] == marks[1] != marks[2]
    assert marks[3] == marks[4]


def test_marks_stay_the_same_from_one_release_to_the_next() -> None:
    assert [hex(mark) for mark in text_marks(["", "Boil an egg"]).tolist()] == [
        "0x141cfc9842c4b0e3",
        "0x4468f3cf4a6e410b",
    ]


@given(st.lists(st.text(), unique_by=lambda text: " ".join(text.casefold().split())))
def test_different_texts_have_different_marks(texts: list[str]) -> None:
    assert len(set(text_marks(texts).tolist())) == len(texts)
