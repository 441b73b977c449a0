"""Which of several proposals is the answer: they are put into groups that say the same, and the groups are voted on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

from coe.aggregators.answers import grouped
from coe.aggregators.cascade import CascadeSettings
from coe.aggregators.proposals import Proposal
from coe.aggregators.voting import Ballot, tally


def ballot(proposal: Proposal, group: int | None, log_odds: Mapping[str, float], settings: CascadeSettings) -> Ballot:
    """A vote for `group`; None: the proposal says nothing that could be voted for."""
    return settings.ballot(group, strength(proposal.expert, log_odds))


def strength(expert: str, log_odds: Mapping[str, float]) -> float:
    """Of an expert that was not measured that of the others on average; where none was, all are even."""
    known = log_odds.get(expert)
    return known if known is not None else fmean(log_odds.values()) if log_odds else 0.0


def by_vote(proposals: Sequence[Proposal], ballots: Sequence[Ballot]) -> Proposal:
    """Whose answer won; where nobody's says anything, the first."""
    return proposals[tally(ballots).winner or 0]


def best(proposals: Sequence[Proposal], log_odds: Mapping[str, float]) -> Proposal:
    """By vote over what the proposals come to. `log_odds`: of experts to be right."""
    groups = grouped([proposal.text for proposal in proposals])
    settings = CascadeSettings()
    return by_vote(
        proposals,
        [ballot(proposal, group, log_odds, settings) for proposal, group in zip(proposals, groups, strict=True)],
    )
