"""Plans: typed values that say what is to run, with every name resolved. Built by the planner, run by the executor.

A *call* is one generation: six samples in one engine request are six calls. Each plan has a `label` for headers and
metrics and an `expert` that stands in the headers until another answered.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import Literal, TypeAlias

SINGLE = "single"


@dataclass(frozen=True, slots=True)
class Single:
    """One expert answers; `fallback` does while it cannot. `skipped`: why the category's plan was not taken."""

    expert: str
    fallback: str | None = None
    label: str = SINGLE
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """An expert in a plan.

    Attributes:
        expert: its name.
        model: the weights that it runs on; experts of one model are resident together and count tokens alike.
        max_tokens: of one generation.
        n: samples in one engine request.
        fallback: who answers while it cannot.
        context: its context length in tokens; None where the configuration does not say.
    """

    expert: str
    model: str
    max_tokens: int
    n: int = 1
    fallback: str | None = None
    context: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What holds for a whole plan.

    Attributes:
        max_calls: generations at most.
        max_tokens: that all calls together may generate.
        max_seconds: from the plan's start to its last byte.
        temperature: of proposals.
        min_proposals: fewer are an error.
        proposal_timeout_s: a proposer that takes longer is left out.
        mean_calls: calls that requests may take on average; None: no such budget.
        null_answer: what is said where the budget allows no call and no answer is cached.
    """

    max_calls: int
    max_tokens: int
    max_seconds: float
    temperature: float = 0.7
    min_proposals: int = 1
    proposal_timeout_s: float = 60.0
    mean_calls: float | None = None
    null_answer: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Moa:
    """Layers of proposers, each seeing the layer before, then an aggregator (arXiv 2406.04692).

    With one layer and one proposer that gives several samples it is Self-MoA (arXiv 2502.00674).
    """

    label: str
    proposers: tuple[Member, ...]
    aggregator: Member
    prompt: str
    terms: Terms
    layers: int = 1
    log_odds: Mapping[str, float] = field(default_factory=dict)

    @property
    def expert(self) -> str:
        return self.aggregator.expert

    @property
    def calls(self) -> int:
        return self.layers * sum(member.n for member in self.proposers) + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class SequentialMoa:
    """Samples merged window by window, so that the context stays the same for any number (arXiv 2502.00674).

    `window` texts are merged at a time: `kept` places hold what was synthesised so far, the others new samples.
    """

    label: str
    proposer: Member
    aggregator: Member
    prompt: str
    terms: Terms
    window: int = 6

    @property
    def expert(self) -> str:
        return self.aggregator.expert

    @property
    def kept(self) -> int:
        return self.window // 2

    @property
    def fresh(self) -> int:
        return self.window - self.kept

    @property
    def merges(self) -> int:
        """Aggregations: the first sample is what was synthesised so far, each takes `fresh` more."""
        return max(1, ceil((self.proposer.n - 1) / self.fresh))

    @property
    def calls(self) -> int:
        return self.proposer.n + self.merges


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """The best of several samples, chosen and not merged: by vote, or by how likely the expert found its words.

    `contrast`: an expert of the same model whose likelihood counts against a sample (SCMoE); it scores every sample.
    """

    label: str
    proposers: tuple[Member, ...]
    by: Literal["vote", "likelihood"]
    terms: Terms
    log_odds: Mapping[str, float] = field(default_factory=dict)
    contrast: Member | None = None

    @property
    def expert(self) -> str:
        return self.proposers[0].expert

    @property
    def calls(self) -> int:
        samples = sum(member.n for member in self.proposers)
        return samples * 2 if self.contrast else samples


@dataclass(frozen=True, slots=True)
class ByAnswer:
    """Answers agree where they are the same once normalised."""


@dataclass(frozen=True, slots=True)
class ByEmbedding:
    """Answers agree where the cosine distance of their embeddings is at most `distance`, in [0, 2]."""

    distance: float


@dataclass(frozen=True, slots=True)
class ByJudge:
    """Answers agree where an expert says so; `prompt` is what it is asked."""

    judge: Member
    prompt: str


AgreementRule: TypeAlias = ByAnswer | ByEmbedding | ByJudge


@dataclass(frozen=True, slots=True, kw_only=True)
class Cascade:
    """Two answers; a third and further ones only while they could change which one wins.

    `members`: in the order in which they are asked. `log_odds`: of experts to be right. `bar`: what a further call must
    be expected to add to the chance of a right answer, in [0, 1].
    """

    label: str
    members: tuple[Member, ...]
    agreement: AgreementRule
    terms: Terms
    bar: float = 0.0
    log_odds: Mapping[str, float] = field(default_factory=dict)

    @property
    def expert(self) -> str:
        return self.members[0].expert

    @property
    def calls(self) -> int:
        """At most. Each new answer is judged against the distinct ones before it."""
        answers = len(self.members)
        return answers + answers * (answers - 1) // 2 if isinstance(self.agreement, ByJudge) else answers


Aggregated: TypeAlias = Moa | SequentialMoa | Selection | Cascade
Plan: TypeAlias = Single | Aggregated
