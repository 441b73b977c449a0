"""How alike the answers of two experts are."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.selection.diversity import AnswerLikeness, agreement
from tests.selection.planted import candidate, solver, worse_copy


def test_an_expert_and_its_copy_are_alike_and_duplicates() -> None:
    original = solver("a", 0.8, 1)
    likeness = AnswerLikeness(2)(original, worse_copy(original, "b"))
    assert likeness.similarity == pytest.approx(1)
    assert likeness.duplicate


def test_two_good_experts_are_not_alike_because_both_are_right() -> None:
    one = candidate("a", [False] + [True] * 9, [1.0] * 10)
    other = candidate("b", [True] * 9 + [False], [1.0] * 10)
    likeness = AnswerLikeness(2)(one, other)
    assert (likeness.similarity, likeness.duplicate) == (0.0, False)


def test_sharing_the_same_mistakes_makes_experts_alike() -> None:
    right = [True] * 6 + [False] * 4
    same = agreement(candidate("a", right, [1.0] * 10), candidate("b", right, [1.0] * 10), 2)
    other = agreement(candidate("a", right, [1.0] * 10), candidate("b", right[::-1], [1.0] * 10), 2)
    assert same == 1
    assert other < 0


def test_two_experts_that_are_always_right_cannot_be_told_apart_but_word_it_their_own_way() -> None:
    likeness = AnswerLikeness(5)(candidate("a", [True] * 5, [1.0] * 5), candidate("b", [True] * 5, [1.0] * 5))
    assert (likeness.similarity, likeness.duplicate) == (1.0, False)


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1), st.integers(1, 5))
def test_likeness_is_symmetric_and_within_bounds(rows: list[tuple[bool, bool]], distinct: int) -> None:
    one = candidate("a", [ok for ok, _ in rows], [1.0] * len(rows))
    other = candidate("b", [ok for _, ok in rows], [1.0] * len(rows))
    compare = AnswerLikeness(distinct)
    assert compare(one, other) == compare(other, one)
    assert 0 <= compare(one, other).similarity <= 1
