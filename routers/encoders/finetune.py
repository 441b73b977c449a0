"""Contrastive fine-tuning: in come an encoder and labelled texts, out comes an encoder that was tuned on them.

Multiple Negatives Ranking loss (Henderson et al., arXiv 1705.00652): of the second halves of all pairs of a batch,
the one of the same pair should lie nearest. A pair is two texts of one category, and no category has two pairs in a
batch: what counts as wrong there is wrong. Whether tuning pays is for the caller to find out, on other rows.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from routers.encoders.encoder import Progress
from routers.encoders.sentence_transformer import SentenceTransformerEncoder
from routers.errors import DataError

STEPS = 100
PAIRS = 16
SCALE = 20.0
LEARNING_RATE = 2e-5
WARM_UP_SHARE = 0.1
MAX_TOKENS = 128  # bounds the time of a step; what a text is about is told by then


def finetune(
    encoder: SentenceTransformerEncoder,
    texts: list[str],
    labels: NDArray[np.int64],
    *,
    seed: int = 0,
    steps: int = STEPS,
    progress: Progress | None = None,
) -> SentenceTransformerEncoder:
    """A copy of `encoder`, tuned for `steps` batches; about a second each on two cores. `encoder` stays as it is.

    `labels` (n,): the category of each text. The same texts, seed and number of threads give the same encoder.
    Raises DataError where fewer than two categories have two texts: nothing is to be told apart then.
    """
    import torch  # noqa: PLC0415 - only where a model is tuned

    by_label = [rows for label in np.unique(labels) if len(rows := np.flatnonzero(labels == label)) >= 2]
    if len(by_label) < 2:
        raise DataError("Tuning an encoder needs two categories with two prompts or more: label more rows")
    tuned, model = encoder.trainable_copy()
    read = model.max_seq_length
    model.max_seq_length = min(read or MAX_TOKENS, MAX_TOKENS)
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_share(step, steps))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)  # of dropout
        model.train()
        for done, (first, second) in enumerate(_pairs(by_label, steps, np.random.default_rng(seed)), start=1):
            batch = model.preprocess([texts[i] for i in (*first, *second)])
            vectors = torch.nn.functional.normalize(model(batch)["sentence_embedding"], dim=1)
            likeness = SCALE * vectors[: len(first)] @ vectors[len(first) :].T
            loss = torch.nn.functional.cross_entropy(likeness, torch.arange(len(first)))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            if progress is not None:
                progress(done, steps)
    model.max_seq_length = read
    model.eval()
    return tuned


def rate_share(step: int, steps: int) -> float:
    """The share of the learning rate at `step` of `steps`: up over the first tenth, then down to 0."""
    warm_up = max(1, round(WARM_UP_SHARE * steps))
    return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))


def _pairs(
    by_label: list[NDArray[np.int64]], steps: int, rng: np.random.Generator
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Rows of the first and the second text of each pair, for `steps` batches."""
    for _ in range(steps):
        chosen = rng.permutation(len(by_label))[:PAIRS]
        drawn = np.array([rng.choice(by_label[label], 2, replace=False) for label in chosen])
        yield drawn[:, 0], drawn[:, 1]
