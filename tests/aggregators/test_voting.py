"""A vote goes to the heaviest answer, whatever the order in which answers come in."""

from math import exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.aggregators.voting import Ballot, posterior, tally, vote_weight

ballots = st.lists(
    st.builds(Ballot, st.sampled_from(["A", "B", "C", None]), st.floats(0, 5, allow_subnormal=False)), max_size=8
)


@given(ballots, st.randoms())
def test_the_order_of_ballots_changes_nothing_but_ties(given_ballots: list[Ballot], rng: object) -> None:
    shuffled = list(given_ballots)
    rng.shuffle(shuffled)  # type: ignore[attr-defined] # hypothesis gives a random.Random
    one, other = tally(given_ballots), tally(shuffled)
    assert one.weights == other.weights
    assert one.votes == other.votes
    if one.winner is None or other.winner is None:
        assert one.winner == other.winner
        return
    first, second = given_ballots[one.winner], shuffled[other.winner]
    assert one.weights[first.answer] == one.weights[second.answer]
    assert first.weight == second.weight


@given(ballots)
def test_the_winner_is_a_ballot_of_the_heaviest_answer(given_ballots: list[Ballot]) -> None:
    found = tally(given_ballots)
    if found.winner is None:
        assert all(ballot.answer is None for ballot in given_ballots)
    else:
        assert found.weights[given_ballots[found.winner].answer] == max(found.weights.values())


def test_silence_and_votes_without_weight_decide_nothing() -> None:
    assert tally([]).winner is None
    assert tally([Ballot(None, 3.0), Ballot(None, 1.0)]).winner is None
    assert tally([Ballot(None, 9.0), Ballot("A", 0.1), Ballot("B", 0.0), Ballot("B", 0.0)]).winner == 1


def test_ties_go_to_the_answer_with_the_heaviest_ballot_then_to_the_first() -> None:
    assert tally([Ballot("A", 1.0), Ballot("A", 1.0), Ballot("B", 2.0)]).winner == 2
    assert tally([Ballot("B", 1.0), Ballot("A", 1.0)]).winner == 0
    assert tally([Ballot("A", 0.0), Ballot("B", 0.0)]).winner == 0


def test_two_that_agree_outvote_a_third_that_is_a_little_better() -> None:
    weak, strong = vote_weight(-0.5, 10), vote_weight(0.5, 10)
    assert tally([Ballot("A", strong), Ballot("B", weak), Ballot("B", weak)]).winner in {1, 2}


def test_a_vote_weighs_its_log_odds_and_a_guess_nothing() -> None:
    assert vote_weight(0.0, 2) == 0
    assert vote_weight(log(0.8 / 0.2), 2) == pytest.approx(log(4))
    assert vote_weight(log(1 / 9), 10) == pytest.approx(0, abs=1e-12)
    assert vote_weight(-5.0, 10) == 0


def test_the_posterior_of_independent_votes_is_bayes_own() -> None:
    right = 0.6
    weight = vote_weight(log(right / (1 - right)), 4)
    found = posterior(tally([Ballot("A", weight), Ballot("A", weight), Ballot("B", weight)]), 4, correlation=0)
    wrong = (1 - right) / 3
    likelihoods = {"A": right * right * wrong, "B": wrong * wrong * right}
    total = sum(likelihoods.values()) + 2 * wrong**3
    assert found == pytest.approx({answer: value / total for answer, value in likelihoods.items()})


@given(ballots, st.integers(2, 20), st.floats(0, 1))
def test_probabilities_leave_room_for_answers_that_nobody_gave(
    given_ballots: list[Ballot], alternatives: int, correlation: float
) -> None:
    found = posterior(tally(given_ballots), alternatives, correlation)
    assert all(0 < chance < 1 for chance in found.values())
    assert sum(found.values()) < 1


def test_votes_that_depend_on_each_other_say_less() -> None:
    agreeing = tally([Ballot("A", 1.0), Ballot("A", 1.0), Ballot("A", 1.0)])
    alone, together = (posterior(agreeing, 10, correlation)["A"] for correlation in (0.0, 1.0))
    assert together < alone
    assert together == pytest.approx(exp(1) / (exp(1) + 9))
