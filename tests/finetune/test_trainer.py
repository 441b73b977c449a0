from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from coe.finetune.batches import collate
from coe.finetune.tokens import Example
from coe.finetune.trainer import summed_loss

EXAMPLES = [
    Example((5, 6, 7, 8, 9, 10), (11, 12, 0)),
    Example((20,), (21, 0)),
    Example((30, 31, 32), (33, 34, 35, 36, 0)),
]


@pytest.fixture(scope="module")
def model(tiny_base: Path) -> torch.nn.Module:
    return AutoModelForCausalLM.from_pretrained(tiny_base).eval()


def test_padding_does_not_change_the_loss(model: torch.nn.Module) -> None:
    with torch.no_grad():
        together = summed_loss(model, collate(EXAMPLES, 0))
        apart = sum(summed_loss(model, collate([example], 0)) for example in EXAMPLES)
    torch.testing.assert_close(together, apart)


def test_the_loss_is_the_likelihood_of_the_completion_given_the_prompt(model: torch.nn.Module) -> None:
    (example, *_) = EXAMPLES
    ids = torch.tensor([example.prompt + example.completion])
    with torch.no_grad():
        likelihoods = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
        found = summed_loss(model, collate([example], 0))
    torch.testing.assert_close(found, -likelihoods[len(example.prompt) - 1 :].sum())
