"""Which experts are chosen."""

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coe.selection.diversity import AnswerLikeness, Likeness
from coe.selection.scoring import Candidate
from coe.selection.selection import Selection, select
from tests.selection.planted import CHANCE, OPTIONS, ROWS, candidate, lucky, solver, worse_copy

COMPARE = AnswerLikeness(OPTIONS)


def chosen_of(candidates: Sequence[Candidate], size: int, weight: float = 0.25) -> Selection:
    return select(candidates, size, COMPARE, chance=CHANCE, weight=weight)


def reasons(selection: Selection) -> dict[str, str | None]:
    return {place.candidate.name: place.reason for place in selection.ranking}


def test_a_planted_guesser_is_rejected_and_of_planted_duplicates_only_one_is_chosen() -> None:
    good = [solver("a", 0.8, 1), solver("b", 0.76, 2), solver("c", 0.72, 3)]
    planted = [solver("coin", 0.5, 4), lucky("lucky", 0.8, 5), worse_copy(good[0], "copy")]
    selection = chosen_of([*planted, *good], 6)
    assert selection.chosen == ("a", "b", "c")
    assert reasons(selection) == {
        "a": None,
        "b": None,
        "c": None,
        "coin": "guess",
        "lucky": "unlikely reasoning",
        "copy": "duplicate",
    }
    (copy,) = (place for place in selection.ranking if place.candidate.name == "copy")
    assert copy.duplicate_of == "a"


def test_a_different_expert_is_worth_more_than_a_slightly_better_one_of_the_same_mistakes() -> None:
    right = [True] * 40 + [False] * 10
    best = candidate("best", right, [0.5] * ROWS)
    alike = candidate("alike", right, [0.55] * ROWS)
    other = candidate("other", right[::-1], [0.6] * ROWS)
    assert chosen_of([best, alike, other], 2).chosen == ("best", "other")
    assert chosen_of([best, alike, other], 2, weight=0.0).chosen == ("best", "alike")


def test_one_expert_is_the_one_with_the_best_score() -> None:
    selection = chosen_of([solver("a", 0.7, 1), solver("b", 0.9, 2), solver("c", 0.8, 3)], 1)
    assert selection.chosen == ("b",)
    assert selection.value == selection.ranking[0].candidate.score


def test_where_everybody_guesses_nobody_is_chosen() -> None:
    selection = chosen_of([solver("a", 0.5, 1), solver("b", 0.4, 2)], 2)
    assert (selection.chosen, selection.value) == ((), None)


def test_too_many_sets_to_try_are_grown_instead() -> None:
    many = [solver(f"e{i:02}", 0.7 + i / 200, i) for i in range(30)]
    selection = chosen_of(many, 6)
    assert len(selection.chosen) == 6
    assert not selection.exact
    assert chosen_of(many[:8], 4).exact


def test_the_search_is_exact() -> None:
    """The set wins as a whole: its best member alone is not in it."""
    alone = solver("alone", 0.9, 1)
    pair = [solver("x", 0.8, 2), solver("y", 0.8, 3)]

    def compare(one: Candidate, other: Candidate) -> Likeness:
        return Likeness(1.0 if "alone" in {one.name, other.name} else 0.0, duplicate=False)

    assert select([alone, *pair], 2, compare, chance=CHANCE).chosen in {("x", "y"), ("y", "x")}


@st.composite
def pools(draw: st.DrawFn) -> list[Candidate]:
    """Candidates of all kinds, with answers in one of few wordings, so that some are duplicates."""
    kinds = st.tuples(st.integers(0, 12), st.lists(st.floats(0, 6), min_size=12, max_size=12), st.sampled_from("xyz"))
    drawn = draw(st.lists(kinds, min_size=1, max_size=6))
    return [
        candidate(f"e{place}", [row < right for row in range(12)], nll, wording)
        for place, (right, nll, wording) in enumerate(drawn)
    ]


@settings(max_examples=60, deadline=None)
@given(pools(), st.randoms(), st.integers(1, 6))
def test_the_order_of_the_candidates_changes_nothing(pool: list[Candidate], random: object, size: int) -> None:
    from random import Random

    assert isinstance(random, Random)
    shuffled = random.sample(pool, len(pool))
    assert chosen_of(shuffled, size) == chosen_of(pool, size)


@settings(max_examples=60, deadline=None)
@given(pools(), st.data(), st.integers(1, 6))
def test_a_worse_copy_changes_nothing(pool: list[Candidate], data: st.DataObject, size: int) -> None:
    original = data.draw(st.sampled_from(pool))
    before = chosen_of(pool, size)
    after = chosen_of([*pool, worse_copy(original, "a copy")], size)
    assert after.chosen == before.chosen
    assert after.value == before.value


@settings(max_examples=60, deadline=None)
@given(pools(), st.integers(1, 6))
def test_only_those_without_a_reason_against_them_are_chosen(pool: list[Candidate], size: int) -> None:
    selection = chosen_of(pool, size)
    free = [place for place in selection.ranking if place.reason is None]
    assert len(selection.chosen) == min(size, len(free))
    assert all(place.reason is None for place in selection.ranking if place.chosen)
    scores = [place.candidate.score for place in selection.ranking]
    assert scores == sorted(scores, reverse=True)


def test_a_guesser_is_told_with_its_figures() -> None:
    (place,) = chosen_of([solver("coin", 0.5, 1)], 1).ranking
    assert place.suspicion is not None
    assert place.suspicion.p_guess == pytest.approx(0.556, abs=0.001)
