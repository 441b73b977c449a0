"""The card beside an adapter: what it was made of and how well it learnt, for people and, in its head, for programs."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import yaml

from coe.finetune.result import Loss

_TEXT = """---
{head}---

# LoRA adapter

Trained over `{base}` by `coe train-expert`. Loss is over completions alone: mean negative log-likelihood per token, in
nats. Serve it with the system message it was trained with{system}.

| step | loss | held-out loss |
| ---: | ---: | ---: |
{rows}
"""


def render_card(
    base: str, facts: Mapping[str, object], system: str | None, losses: Sequence[Loss], heldout: Sequence[Loss]
) -> str:
    """A model card as model hubs know it: YAML head, then text. `facts` go into the head as they are."""
    head = {"base_model": base, "library_name": "peft", **facts}
    smoothed = dict(_means(losses, [loss.step for loss in heldout]))
    rows = [f"| {loss.step} | {smoothed.get(loss.step, '')} | {loss.value:.4f} |" for loss in heldout]
    return _TEXT.format(
        head=yaml.safe_dump(head, sort_keys=False, allow_unicode=True),
        base=base,
        system=f": `{system}`" if system else ", which is none",
        rows="\n".join(rows) or f"| {losses[-1].step} | {losses[-1].value:.4f} | |",
    )


def _means(losses: Sequence[Loss], bounds: Sequence[int]) -> list[tuple[int, str]]:
    """Mean loss from each bound to the next, under the later one."""
    means = []
    for start, end in itertools.pairwise(bounds):
        within = [loss.value for loss in losses if start < loss.step <= end]
        if within:
            means.append((end, f"{sum(within) / len(within):.4f}"))
    return means
