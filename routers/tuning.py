"""Training with a tuned encoder: in come prompts and an encoder, out comes the better of two routers.

One is trained on all rows with the encoder as it is. For the other the encoder is tuned on half of each category,
and everything else (classifier, temperature, abstention) is learned from the rows that the tuning did not see: a
tuned encoder knows its own rows too well to calibrate anything on them. Both are judged by cross-validation.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from routers.encoders.encoder import Encoder, Progress
from routers.encoders.finetune import STEPS, finetune
from routers.encoders.sentence_transformer import SentenceTransformerEncoder
from routers.errors import EncoderError
from routers.prompts import LabelledPrompt
from routers.report.figures import TrainingReport
from routers.router import CategoryRouter
from routers.rows import MIN_ROWS
from routers.training import StageProgress

# Nats of log loss: less is within what another split of the rows changes.
DELTA = 0.01


@dataclass(frozen=True, slots=True)
class TuningReport:
    """Cross-validated log loss of both routers, and whether the tuned one was kept."""

    kept: bool
    base_loss: float
    tuned_loss: float


class Learn(Protocol):
    """`routers.training.train` with its settings given; without rows that hold outcomes it learns no map."""

    def __call__(
        self, prompts: Sequence[LabelledPrompt], encoder: Encoder, /
    ) -> tuple[CategoryRouter, TrainingReport]: ...


def tunable(encoder: Encoder) -> SentenceTransformerEncoder:
    """`encoder`. Raises EncoderError where it has no weights that could be tuned."""
    if not isinstance(encoder, SentenceTransformerEncoder):
        raise EncoderError(
            f"An encoder of kind {encoder.spec.kind!r} cannot be tuned: name minilm or the source of a model"
        )
    return encoder


def train_tuned(
    prompts: Sequence[LabelledPrompt],
    encoder: SentenceTransformerEncoder,
    cached: Encoder,
    learn: Learn,
    *,
    steps: int = STEPS,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> tuple[CategoryRouter, TrainingReport, TuningReport]:
    """The router with a tuned copy of `encoder` where that gains, else the one with `cached`, the same encoder.

    Raises what `learn` raises, and DataError where there is too little to tune on.
    """
    router, report = learn(prompts, cached)
    read = [replace(prompt, text=router.read(prompt.text)) for prompt in prompts]  # what the encoder is given
    half = tuning_rows(read, seed)
    texts = [read[i].text for i in half]
    labels = np.unique([read[i].category or "" for i in half], return_inverse=True)[1].astype(np.int64)
    tuned = finetune(encoder, texts, labels, seed=seed, steps=steps, progress=_steps(progress))
    seen = set(texts)
    rest = [prompt for prompt, own in zip(prompts, read, strict=True) if own.text not in seen]
    other, other_report = learn(rest, tuned)
    base_loss, tuned_loss = report.category.log_loss, other_report.category.log_loss
    kept = keep_tuned(base_loss, tuned_loss)
    found = TuningReport(kept, base_loss, tuned_loss)
    if not kept:
        return router, report, found
    # What outcomes say was learned from all rows; the tuned encoder changes little of which category they fall into.
    return other.with_outcomes_of(router), replace(report, category=other_report.category), found


def keep_tuned(base_loss: float, tuned_loss: float, delta: float = DELTA) -> bool:
    """Whether the tuned encoder's gain in log loss, on rows that it did not see, is above `delta`."""
    return tuned_loss < base_loss - delta


def tuning_rows(prompts: Sequence[LabelledPrompt], seed: int) -> NDArray[np.int64]:
    """Places of the prompts to tune on: half of each category, but for those too small to spare any."""
    by_category: dict[str, dict[str, int]] = {}
    for i, prompt in enumerate(prompts):
        if prompt.category is not None:
            by_category.setdefault(prompt.category, {}).setdefault(prompt.text, i)
    rng = np.random.default_rng(seed)
    chosen: list[int] = []
    for _, distinct in sorted(by_category.items()):
        spared = max(0, min(len(distinct) // 2, len(distinct) - MIN_ROWS))
        chosen += rng.permutation(list(distinct.values()))[:spared].tolist()
    return np.array(sorted(chosen), dtype=np.int64)


def _steps(progress: StageProgress | None) -> Progress | None:
    return None if progress is None else lambda done, total: progress("tune", done, total)
