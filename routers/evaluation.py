"""Evaluation: in come a router and labelled prompts that it was not trained on, out come the figures of a router.

A figure that the data cannot give is None. Scores and shares are in [0, 1].
"""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from routers.comparison import OutcomeFigures, compare
from routers.encoders.encoder import Encoder
from routers.errors import DataError
from routers.prompts import LabelledPrompt
from routers.ranking import auroc, recall_at
from routers.router import CategoryRouter, Classification

if TYPE_CHECKING:
    from routers.training import StageProgress

LATENCY_PROMPTS = 200
BATCH = 256


@dataclass(frozen=True, slots=True)
class CategoryFigures:
    """Of the likeliest category of in-scope rows, before abstention."""

    accuracy: float | None
    macro_f1: float | None


@dataclass(frozen=True, slots=True)
class OodFigures:
    """How well out-of-scope rows are told; None without rows of a null category."""

    auroc: float | None
    recall_at_5pct_rejected: float | None


@dataclass(frozen=True, slots=True)
class LatencyFigures:
    """Milliseconds to classify one prompt on its own, encoding included."""

    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All figures. `n`: rows; `abstained`: share of in-scope rows that went to `general`.

    `trained_on`: rows whose text the router was trained on; figures that hold many of them promise too much.
    """

    n: int
    trained_on: int
    category: CategoryFigures
    abstained: float | None
    outcomes: OutcomeFigures
    ood: OodFigures
    latency_ms: LatencyFigures

    def to_json(self) -> dict[str, object]:
        """The keys of `coe eval-router --json`."""
        figures = asdict(self)
        outcomes = figures.pop("outcomes")
        tail = {key: figures.pop(key) for key in ("ood", "latency_ms")}
        return {**figures, **outcomes, **tail}


def evaluate(
    router: CategoryRouter,
    prompts: Sequence[LabelledPrompt],
    *,
    seed: int = 0,
    cached: Encoder | None = None,
    progress: "StageProgress | None" = None,
) -> Evaluation:
    """Classify all prompts, then some one at a time for the latency. Raises DataError where there are none.

    `cached`: the router's encoder behind a cache, for all but the latency.
    """
    if not prompts:
        raise DataError("There are no prompts to evaluate the router on")
    answers = classify_all(router if cached is None else router.with_encoder(cached), prompts, progress)
    in_scope = [
        (prompt.category, answer)
        for prompt, answer in zip(prompts, answers, strict=True)
        if prompt.category is not None
    ]
    return Evaluation(
        n=len(prompts),
        trained_on=int(router.knows([prompt.text for prompt in prompts]).sum()),
        category=_category_figures(in_scope),
        abstained=float(np.mean([answer.abstained for _, answer in in_scope])) if in_scope else None,
        outcomes=compare(prompts, answers, router.expert_map, seed),
        ood=_ood_figures(
            np.array([answer.in_scope for _, answer in in_scope]),
            np.array([a.in_scope for prompt, a in zip(prompts, answers, strict=True) if prompt.out_of_scope]),
        ),
        latency_ms=latency(router, prompts, seed=seed, progress=progress),
    )


def classify_all(
    router: CategoryRouter, prompts: Sequence[LabelledPrompt], progress: "StageProgress | None" = None
) -> list[Classification]:
    """What the router says of each prompt, chats by all that was said in them."""
    # Prompts of one length together: less padding for encoders that pad.
    single = sorted((i for i in range(len(prompts)) if len(prompts[i].turns) <= 1), key=lambda i: len(prompts[i].text))
    answers: dict[int, Classification] = {}
    for start in range(0, len(single), BATCH):
        batch = single[start : start + BATCH]
        answers.update(zip(batch, router.classify_batch([prompts[i].text for i in batch]), strict=True))
        if progress is not None:
            progress("classify", len(answers), len(prompts))
    for i, prompt in enumerate(prompts):
        if i not in answers:
            answers[i] = router.classify_turns(prompt.turns)
    return [answers[i] for i in range(len(prompts))]


def _category_figures(in_scope: Sequence[tuple[str, Classification]]) -> CategoryFigures:
    if not in_scope:
        return CategoryFigures(None, None)
    truth = np.array([category for category, _ in in_scope])
    found = np.array([answer.likeliest for _, answer in in_scope])
    return CategoryFigures(float((truth == found).mean()), macro_f1(truth, found))


def macro_f1(truth: NDArray[np.str_], found: NDArray[np.str_]) -> float:
    """Mean over all categories that occur in either of 2 * hits / (rows of it + rows called it)."""
    categories = np.union1d(truth, found)
    scores = [2 * ((truth == c) & (found == c)).sum() / ((truth == c).sum() + (found == c).sum()) for c in categories]
    return float(np.mean(scores))


def _ood_figures(inside: NDArray[np.float64], outside: NDArray[np.float64]) -> OodFigures:
    if not len(inside) or not len(outside):
        return OodFigures(None, None)
    return OodFigures(auroc(inside, outside), recall_at(inside, outside, 0.05))


def latency(
    router: CategoryRouter,
    prompts: Sequence[LabelledPrompt],
    *,
    seed: int = 0,
    progress: "StageProgress | None" = None,
) -> LatencyFigures:
    """Of up to 200 of `prompts` (one or more), one at a time. A cache around the encoder would be what is measured."""
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(prompts))[:LATENCY_PROMPTS]
    router.classify(prompts[chosen[0]].text)  # the first call pays for what is loaded late
    times: list[float] = []
    for i in chosen:
        start = time.perf_counter()
        router.classify(prompts[i].text)
        times.append(1000 * (time.perf_counter() - start))
        if progress is not None:
            progress("latency", len(times), len(chosen))
    p50, p99 = np.quantile(times, [0.5, 0.99])
    return LatencyFigures(float(p50), float(p99))
