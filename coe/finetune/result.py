"""What a training run tells while it goes and when it ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Progress:
    """After `step` of `steps`. Losses are mean negative log-likelihoods per completion token, in nats."""

    step: int
    steps: int
    loss: float | None = None
    heldout_loss: float | None = None


@dataclass(frozen=True, slots=True)
class Loss:
    step: int
    value: float


@dataclass(frozen=True, slots=True)
class Trained:
    """`weights` by PEFT's names, in bfloat16. `targets` are the module names that have an adapter."""

    weights: dict[str, torch.Tensor]
    targets: tuple[str, ...]
    losses: tuple[Loss, ...]
    heldout_losses: tuple[Loss, ...]
    device: str
    dtype: str


@dataclass(frozen=True, slots=True)
class Hooks:
    """How a run tells of itself, and is told to stop."""

    progress: Callable[[Progress], None]
    stopped: Callable[[], bool]
