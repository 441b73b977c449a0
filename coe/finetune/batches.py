"""The order of examples and their tensors: fixed by a seed, rows of like length together, padded on the left.

Left padding puts all completions at the end, so that the largest matrix of a small model, the one of the vocabulary, is
applied to the completion's positions alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from coe.finetune.tokens import Example

if TYPE_CHECKING:
    import torch

IGNORED = -100  # the label that a cross entropy leaves out
WINDOW_BATCHES = 16


def training_order(lengths: Sequence[int], *, batch: int, steps: int, seed: int) -> list[int]:
    """Indices of examples for `steps` batches of `batch`, epoch after epoch, each in an order of its own.

    Within windows of 16 batches rows of like length are put together, which saves padding; the batches of a window
    are shuffled again.
    """
    order: list[int] = []
    epoch = 0
    while len(order) < steps * batch:
        random = np.random.default_rng((seed, epoch))
        shuffled = random.permutation(len(lengths))
        for start in range(0, len(shuffled), batch * WINDOW_BATCHES):
            window = sorted(shuffled[start : start + batch * WINDOW_BATCHES], key=lambda index: lengths[index])
            batches = [window[first : first + batch] for first in range(0, len(window), batch)]
            whole = [rows for rows in batches if len(rows) == batch]
            rest = [rows for rows in batches if len(rows) < batch]
            for position in random.permutation(len(whole)):
                order += map(int, whole[position])
            for rows in rest:
                order += map(int, rows)
        epoch += 1
    return order[: steps * batch]


def collate(examples: Sequence[Example]) -> dict[str, torch.Tensor]:
    """`input_ids`, `attention_mask`, `position_ids`: (batch, longest); `labels`: (batch, 1 + answer).

    `labels` are of the last positions. The first of them is never learnt: what a position says is judged by the label
    after it.
    """
    import torch  # noqa: PLC0415 - heavy, and only needed where a model is

    longest = max(map(len, examples))
    answer = 1 + max(len(example.completion) for example in examples)
    ids = torch.zeros((len(examples), longest), dtype=torch.int64)  # padding is masked, whatever it is
    mask = torch.zeros_like(ids)
    labels = torch.full((len(examples), answer), IGNORED)
    for row, example in enumerate(examples):
        ids[row, longest - len(example) :] = torch.tensor(example.prompt + example.completion)
        mask[row, longest - len(example) :] = 1
        labels[row, answer - len(example.completion) :] = torch.tensor(example.completion)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    return {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "labels": labels}
