"""What a request says of the plan that is to answer it: the typed form of its field `coe`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

ProgressStyle: TypeAlias = Literal["comments", "events", "reasoning"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions:
    """None where the request leaves it to the configuration.

    Attributes:
        plan: name of the plan; `single` for none.
        n: samples of each proposer, or answers at most.
        proposers: names of experts.
        aggregator: name of the expert that merges.
        calls: generations that the request may take at most.
        tokens: tokens that all of them together may generate.
        seconds: from the start of the plan to its last byte.
        progress: how a stream tells of what happens before its first token.
        itemised: list every call beside the summed usage.
        dry_run: show the plan and run nothing.
        max_tokens: of one generation, as the engine's own field says.
        choices: answers that the engine's own field `n` asks for.
    """

    plan: str | None = None
    n: int | None = None
    proposers: tuple[str, ...] | None = None
    aggregator: str | None = None
    calls: int | None = None
    tokens: int | None = None
    seconds: float | None = None
    progress: ProgressStyle = "comments"
    itemised: bool = False
    dry_run: bool = False
    max_tokens: int | None = None
    choices: int = 1

    @property
    def changes_plan(self) -> bool:
        """Whether it asks for more than the plan as it is configured."""
        asked = (self.n, self.proposers, self.aggregator, self.calls, self.tokens, self.seconds)
        return any(value is not None for value in asked)


NO_OPTIONS = PlanOptions()
