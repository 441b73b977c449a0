"""Plans that can be replayed: a row with recorded answers goes in, whose answer wins and who was asked come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from coe.aggregators.cascade import CascadeSettings, asking_order, asks_on
from coe.aggregators.voting import Ballot, tally
from coe.replay.judging import Judged


@dataclass(frozen=True, slots=True)
class Replayed:
    """`expert`: whose answer it is. `asked`: all that were called, in order."""

    expert: str
    asked: tuple[str, ...]


class Plan(Protocol):
    """Something that answers a prompt by asking experts."""

    @property
    def name(self) -> str: ...

    @property
    def series(self) -> str:
        """Plans that differ in one setting share it."""
        ...

    def replay(self, judged: Judged) -> Replayed: ...


@dataclass(frozen=True, slots=True)
class Routed:
    """The router's expert alone."""

    name: str = "top-1"
    series: str = "votes"

    def replay(self, judged: Judged) -> Replayed:
        return Replayed(judged.routed, (judged.routed,))


@dataclass(frozen=True, slots=True)
class Alone:
    """The same expert for every prompt."""

    expert: str
    name: str = "best single"
    series: str = "references"

    def replay(self, judged: Judged) -> Replayed:  # noqa: ARG002 - it is every prompt's
        return Replayed(self.expert, (self.expert,))


@dataclass(frozen=True, slots=True)
class Oracle:
    """All are asked, and the best answer is known: no choice among them can do better."""

    name: str = "oracle"
    series: str = "references"

    def replay(self, judged: Judged) -> Replayed:
        scores = judged.row.scores
        return Replayed(max(scores, key=scores.__getitem__), tuple(scores))


@dataclass(frozen=True, slots=True)
class Cascade:
    """Experts in their order, until the rule says that it is enough. With `first` of `most` calls it is a vote."""

    name: str
    series: str
    settings: CascadeSettings

    def replay(self, judged: Judged) -> Replayed:
        ballots: list[Ballot] = []
        asked: list[str] = []
        for expert in asking_order(judged.log_odds, judged.alike, self.settings):
            log_odds = judged.log_odds[expert]
            if not asks_on(ballots, log_odds, self.settings):
                break
            asked.append(expert)
            ballots.append(self.settings.ballot(judged.row.answers[expert], log_odds))
        # Where all are silent, the answer is what the first one said.
        return Replayed(asked[tally(ballots).winner or 0], tuple(asked))


def vote(calls: int, name: str | None = None) -> Cascade:
    """`calls` experts are asked in any case, and their weighted vote decides."""
    return Cascade(name or f"top-{calls} vote", "votes", CascadeSettings(first=calls, most=calls))


def usual_plans(experts: int, votes: Sequence[int], bars: Sequence[float], most: int) -> list[Plan]:
    """Top-1, votes, the cascade that is the default, cascades of at most `most` calls at each bar, and all."""
    return [
        Routed(),
        *(vote(calls) for calls in votes if calls < experts),
        Cascade("cascade", "cascade", CascadeSettings()),
        *(
            Cascade(f"cascade-{most}, bar {bar:g}", f"cascade-{most}", CascadeSettings(most=most, bar=bar))
            for bar in bars
        ),
        vote(experts, "all"),
    ]
