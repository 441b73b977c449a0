"""What a person chooses of a training run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

DeviceChoice: TypeAlias = Literal["auto", "cpu", "gpu"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """One run. The defaults suit small bases; one of several billion parameters wants a rate of about 2e-4.

    Attributes:
        system: system message of rows that have none; the expert is to be served with the same.
        rank: inner dimension of the adapter's matrices (LoRA, arXiv 2106.09685), on all linear layers.
        alpha: the adapter is scaled by alpha / rank; None is twice the rank.
        learning_rate: highest rate of AdamW; a cosine leads to zero after a linear warm-up.
        warmup: share of the steps, in [0, 1).
        batch: rows computed together.
        accumulate: batches whose gradients are added before a step.
        epochs: passes over the rows, where `steps` does not say.
        steps: optimiser steps.
        max_tokens: longest row, prompt and completion together.
        checkpoint_steps: steps between checkpoints, and between measurements of the held-out loss.
    """

    system: str | None = None
    rank: int = 16
    alpha: int | None = None
    learning_rate: float = 1e-3
    warmup: float = 0.05
    batch: int = 16
    accumulate: int = 1
    epochs: float = 2.0
    steps: int | None = None
    max_tokens: int = 1024
    checkpoint_steps: int = 50
    seed: int = 0
    device: DeviceChoice = "auto"

    def steps_for(self, rows: int) -> int:
        """Optimiser steps over `rows` rows; at least one."""
        return self.steps or max(1, round(self.epochs * rows / (self.batch * self.accumulate)))
