"""Which of several proposals is the answer: by vote over what they come to."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence

from coe.aggregators.proposals import Proposal

_EVEN = 1.0  # of an expert that nobody has measured


def by_vote(proposals: Sequence[Proposal], groups: Sequence[int], weights: Mapping[str, float]) -> Proposal:
    """The first proposal of the heaviest group; of groups that weigh the same, of the one that was first.

    Args:
        proposals: at least one.
        groups: of each proposal, the number of those that it agrees with.
        weights: of experts.
    """
    sums: dict[int, float] = defaultdict(float)
    for proposal, group in zip(proposals, groups, strict=True):
        sums[group] += weights.get(proposal.expert, _EVEN)
    heaviest = max(sums, key=sums.__getitem__)
    return proposals[groups.index(heaviest)]


def best(proposals: Sequence[Proposal], weights: Mapping[str, float]) -> Proposal:
    """By vote over normalised answers."""
    answers = [normalised(proposal.text) for proposal in proposals]
    return by_vote(proposals, [answers.index(answer) for answer in answers], weights)


def normalised(text: str) -> str:
    return " ".join(text.casefold().split()).rstrip(".")
