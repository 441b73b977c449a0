from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from coe.finetune.batches import collate
from coe.finetune.result import Hooks
from coe.finetune.settings import TrainingSettings
from coe.finetune.tokens import Example
from coe.finetune.trainer import summed_loss, train

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
        together = summed_loss(model, collate(EXAMPLES))
        apart = sum(summed_loss(model, collate([example])) for example in EXAMPLES)
    torch.testing.assert_close(together, apart)


def test_the_loss_is_the_likelihood_of_the_completion_given_the_prompt(model: torch.nn.Module) -> None:
    (example, *_) = EXAMPLES
    ids = torch.tensor([example.prompt + example.completion])
    with torch.no_grad():
        likelihoods = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])
        found = summed_loss(model, collate([example]))
    torch.testing.assert_close(found, -likelihoods[len(example.prompt) - 1 :].sum())


def test_the_loss_that_is_told_is_the_mean_over_all_completion_tokens_of_a_step(
    tiny_base: Path, model: torch.nn.Module, tmp_path: Path
) -> None:
    settings = TrainingSettings(rank=2, batch=2, accumulate=2, steps=1, warmup=0, device="cpu")
    examples = [*EXAMPLES, Example((40, 41), (42, 43, 44, 45, 46, 47, 0))]
    hooks = Hooks(lambda _: None, lambda: False)
    trained = train(
        tiny_base,
        examples=examples,
        heldout=examples,
        settings=settings,
        checkpoints=tmp_path,
        resume_from=None,
        hooks=hooks,
    )
    with torch.no_grad():
        total = sum(float(summed_loss(model, collate([example]))) for example in examples)
    mean = total / sum(len(example.completion) for example in examples)
    assert trained.losses[0].value == pytest.approx(mean, rel=0.02)  # bfloat16
    assert trained.heldout_losses[0].value == pytest.approx(mean, rel=0.02)
