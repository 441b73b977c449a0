"""A cascade asks on while another vote may change the answer for the better, and never when answers agree."""

from hypothesis import given
from hypothesis import strategies as st

from coe.aggregators.cascade import CascadeSettings, asking_order, asks_on, gain_of_asking
from coe.aggregators.voting import Ballot

FREE = CascadeSettings(most=9, bar=0.0)


def unlike(_one: str, _other: str) -> float:
    return 0.0


def votes(*given_votes: tuple[str | None, float], settings: CascadeSettings = FREE) -> list[Ballot]:
    return [settings.ballot(answer, log_odds) for answer, log_odds in given_votes]


def test_two_are_asked_in_any_case() -> None:
    assert asks_on([], -9.0, CascadeSettings(bar=1.0))
    assert asks_on(votes(("A", 3.0)), -9.0, CascadeSettings(bar=1.0))


def test_answers_that_agree_end_it() -> None:
    assert not asks_on(votes(("A", 0.0), ("A", 0.0)), 0.0, FREE)


def test_a_third_is_asked_where_two_differ_and_it_could_decide() -> None:
    assert asks_on(votes(("A", 0.0), ("B", -0.1)), -0.2, FREE)


def test_a_third_that_could_not_decide_is_not_asked() -> None:
    assert not asks_on(votes(("A", 3.0), ("B", -1.5)), -1.5, FREE)


def test_an_expert_no_better_than_a_guess_is_not_asked() -> None:
    assert not asks_on(votes(("A", 0.0), ("B", 0.0)), -9.0, FREE)


def test_silence_is_no_vote_the_next_one_decides() -> None:
    assert asks_on(votes((None, 0.0), (None, 0.0)), 0.0, FREE)
    assert not asks_on(votes((None, 0.0), ("A", 0.0)), 0.0, FREE)


def test_the_number_of_calls_is_bounded() -> None:
    differing = votes(("A", 0.0), ("B", 0.0), ("C", 0.0))
    assert asks_on(differing, 0.0, FREE)
    assert not asks_on(differing, 0.0, CascadeSettings(most=3))


log_odds = st.floats(-2, 2)
some_votes = st.lists(st.tuples(st.sampled_from(["A", "B", "C", None]), log_odds), min_size=2, max_size=6)


@given(some_votes, log_odds, st.floats(0, 1), st.floats(0, 1))
def test_a_higher_bar_never_asks_more(
    given_votes: list[tuple[str | None, float]], following: float, one: float, other: float
) -> None:
    low, high = sorted((one, other))
    if asks_on(votes(*given_votes), following, CascadeSettings(most=9, bar=high)):
        assert asks_on(votes(*given_votes), following, CascadeSettings(most=9, bar=low))


@given(some_votes, log_odds)
def test_the_gain_of_a_vote_is_a_chance(given_votes: list[tuple[str | None, float]], following: float) -> None:
    assert 0 <= gain_of_asking(votes(*given_votes), following, FREE) <= 1


def test_strong_experts_come_first() -> None:
    assert asking_order({"weak": -1.0, "strong": 1.0, "even": 0.0}, unlike, FREE) == ("strong", "even", "weak")


def test_a_twin_of_the_first_waits_for_one_that_errs_elsewhere() -> None:
    def alike(one: str, other: str) -> float:
        return 0.9 if {one, other} == {"first", "twin"} else 0.1

    settings = CascadeSettings(most=2)
    assert asking_order({"first": 1.0, "twin": 0.9, "other": 0.2}, alike, settings) == ("first", "other")


def test_equals_are_ordered_by_name_and_all_have_a_turn() -> None:
    assert asking_order({"c": 0.0, "a": 0.0, "b": -9.0, "d": -8.0}, unlike, FREE) == ("a", "c", "d", "b")
