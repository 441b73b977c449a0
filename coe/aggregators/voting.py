"""Votes: ballots go in, each an answer with the weight of the expert that gave it; out comes which answer has won.

A vote weighs the log of the odds by which it speaks for its answer: log((K - 1) p / (1 - p)) of an expert that is right
with probability p where wrong answers spread over K - 1 others. Of experts that err independently the heaviest answer
is then the likeliest (Nitzan and Paroush 1982; Shapley and Grofman 1984; for K answers, Kuncheva 2004, section 4.4).
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import exp, fsum, log


@dataclass(frozen=True, slots=True)
class Ballot:
    """`answer`: None has no vote. `weight`: 0 or more."""

    answer: Hashable | None
    weight: float


@dataclass(frozen=True, slots=True)
class Tally:
    """`weights` of all answers that were given, in the order of their first ballots.

    `winner`: the place of the ballot that stands for the answer that won: the heaviest of its ballots, the first of
    equals; None where nobody gave an answer.
    """

    weights: Mapping[Hashable, float]
    winner: int | None
    votes: int


def vote_weight(log_odds: float, alternatives: int) -> float:
    """Of an expert that is right with `log_odds`; none where it does no better than to guess.

    `alternatives`: how many answers there are to choose from, two or more.
    """
    return max(0.0, log(alternatives - 1) + log_odds)


def tally(ballots: Sequence[Ballot]) -> Tally:
    """Answers of the same weight are decided by their heaviest ballot, and then by which was given first."""
    by_answer: dict[Hashable, list[int]] = {}
    for place, ballot in enumerate(ballots):
        if ballot.answer is not None:
            by_answer.setdefault(ballot.answer, []).append(place)
    # fsum: the order in which answers come in must not decide by a rounding.
    weights = {answer: fsum(ballots[i].weight for i in places) for answer, places in by_answer.items()}
    first = {answer: max(places, key=lambda i: ballots[i].weight) for answer, places in by_answer.items()}
    won = max(weights, key=lambda answer: (weights[answer], ballots[first[answer]].weight), default=None)
    return Tally(weights, None if won is None else first[won], sum(map(len, by_answer.values())))


def posterior(found: Tally, alternatives: int, correlation: float) -> dict[Hashable, float]:
    """How likely each answer that was given is right. What is left to 1 goes to answers that nobody gave.

    Experts err together, so n votes tell as much as n / (1 + (n - 1) correlation) independent ones: the design effect
    (Kish 1965). `correlation` in [0, 1].
    """
    damping = 1 + max(found.votes - 1, 0) * correlation
    powers = {answer: exp(weight / damping) for answer, weight in found.weights.items()}
    total = fsum(powers.values()) + max(alternatives - len(powers), 1)
    return {answer: power / total for answer, power in powers.items()}
