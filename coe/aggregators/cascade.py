"""The cascade's rule: answers so far go in, out comes whether another expert is worth asking.

Experts are asked in the order of what their votes add to those before. After the first answers, the next expert is
asked only while its vote could give the lead to another answer, and only while that is expected to raise the chance of
being right by `bar` or more: the value of information (Howard 1966) of one more vote. Answers that agree end it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import exp

from coe.aggregators.voting import Ballot, posterior, tally, vote_weight


@dataclass(frozen=True, slots=True, kw_only=True)
class CascadeSettings:
    """When a cascade stops. The defaults are measured: docs/aggregators.md.

    Attributes:
        first: answers that are asked for in any case.
        most: calls at most.
        bar: in [0, 1], what another call must be expected to add to the chance of a right answer.
        alternatives: how many answers a wrong one is taken to be drawn from, and a right one; 2 or more.
        correlation: in [0, 1], of the votes of two experts.
    """

    first: int = 2
    most: int = 3
    bar: float = 0.0
    alternatives: int = 10
    correlation: float = 0.6

    def ballot(self, answer: Hashable | None, log_odds: float) -> Ballot:
        """The vote of an expert that is right with `log_odds`."""
        return Ballot(answer, vote_weight(log_odds, self.alternatives))


def asking_order(
    log_odds: Mapping[str, float], alike: Callable[[str, str], float], settings: CascadeSettings
) -> tuple[str, ...]:
    """Experts, the strongest first, then whichever adds most; equals by name. As many as are asked at most.

    What an expert adds is the weight of its vote times 1 less its highest correlation with an expert before it: strong
    and unlike the others (after maximal marginal relevance, Carbonell and Goldstein 1998). `alike`: the correlation.
    """
    weights = {name: vote_weight(log_odds[name], settings.alternatives) for name in sorted(log_odds)}
    redundant = dict.fromkeys(weights, 0.0)
    order: list[str] = []
    while redundant and len(order) < settings.most:
        # Votes without weight add nothing: of those the stronger is asked first.
        chosen = max(redundant, key=lambda name: (weights[name] * (1 - redundant[name]), log_odds[name]))
        order.append(chosen)
        del redundant[chosen]
        for name, before in redundant.items():
            redundant[name] = max(before, alike(name, chosen))
    return tuple(order)


def asks_on(ballots: Sequence[Ballot], log_odds: float, settings: CascadeSettings) -> bool:
    """Whether the next expert, which is right with `log_odds`, is to be asked after `ballots`."""
    if len(ballots) < settings.first:
        return True
    if len(ballots) >= settings.most:
        return False
    gain = gain_of_asking(ballots, log_odds, settings)
    return gain > 0 and gain >= settings.bar


def gain_of_asking(ballots: Sequence[Ballot], log_odds: float, settings: CascadeSettings) -> float:
    """By how much the vote of an expert that is right with `log_odds` raises the chance of a right answer, in [0, 1].

    It does where it lifts an answer `a` over the leading one `t`: sum over these of P(a) q - P(t) (1 - q) / (K - 1),
    where q is the chance that the expert is right, K - 1 the wrong answers that it may give. Where nobody has given an
    answer it is q.
    """
    found = tally(ballots)
    right = 1 / (1 + exp(-log_odds))
    if found.winner is None:
        return right
    leading = ballots[found.winner].answer
    likely = posterior(found, settings.alternatives, settings.correlation)
    to_beat = found.weights[leading] - vote_weight(log_odds, settings.alternatives)
    by_chance = likely[leading] * (1 - right) / (settings.alternatives - 1)
    lifted = (likely[answer] for answer, weight in found.weights.items() if answer != leading and weight > to_beat)
    return sum(max(0.0, chance * right - by_chance) for chance in lifted)
