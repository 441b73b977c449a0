"""Whom a plan may ask, and what is known of them: recorded rows and routers go in, rows to replay come out.

No row is judged by what was learned from it: a router that knows the row leaves it out, and where there is no other
data, each fifth is judged by a router that was trained on the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from coe.errors import InputError
from coe.replay.recorded import Recorded
from routers.encoders.encoder import Encoder
from routers.errors import DataError
from routers.evaluation import classify_all
from routers.folds import assign_folds
from routers.mapping.expert_map import learn_map
from routers.mapping.experts import ExpertSize
from routers.mapping.limits import Limits
from routers.mapping.strengths import Strengths
from routers.prompts import LabelledPrompt
from routers.router import CategoryRouter
from routers.training import MapSettings, StageProgress, train

FOLDS = 5


@dataclass(frozen=True, slots=True)
class Judged:
    """A recorded row with what a router that did not see it says of it.

    `routed`: the single expert. `log_odds`: of each expert to be right. `alike`: the correlation of two experts.
    `found`: whether the category is the true one; None where the row tells none.
    """

    row: Recorded
    routed: str
    log_odds: Mapping[str, float]
    alike: Callable[[str, str], float]
    found: bool | None


def judged_by(
    router: CategoryRouter, rows: Sequence[Recorded], experts: Sequence[str], progress: StageProgress | None = None
) -> list[Judged]:
    """`rows` without those that `router` was trained on. `experts`: whom plans may ask.

    Raises:
        InputError: the router learned nothing of one of `experts`.
        DataError: it knows all rows.
    """
    router = within(router, experts)
    answered = router.answered
    assert answered is not None  # `within` saw to it
    strengths = Strengths.of(answered.only(experts), router.categories)
    known = router.knows([row.prompt.text for row in rows])
    fresh = [row for row, seen in zip(rows, known, strict=True) if not seen]
    if not fresh:
        raise DataError("The router was trained on every row of the data: give rows that it did not see")
    return [
        Judged(
            row=row,
            routed=said.expert or "",
            log_odds=strengths.expected(said.probabilities),
            alike=strengths.alike,
            found=None if row.prompt.category is None else said.likeliest == row.prompt.category,
        )
        for row, said in zip(fresh, classify_all(router, [row.prompt for row in fresh], progress), strict=True)
    ]


def within(router: CategoryRouter, experts: Sequence[str]) -> CategoryRouter:
    """`router`, with its map learned again for `experts` alone where it may ask others.

    Raises:
        InputError: it has no outcomes of one of them.
    """
    expert_map, paired = router.expert_map, router.paired
    if expert_map is None or paired is None:
        raise InputError(
            "The router was trained without outcomes: train it with them, or give `--train F` and no router"
        )
    if missing := [name for name in experts if name not in paired.experts]:
        raise InputError(f"The router learned nothing of {', '.join(missing)}: leave them out of --experts")
    may_ask = {expert_map.default, *expert_map.by_category.values(), *router.experts_to_choose}
    if may_ask <= set(experts):
        return router
    sizes = {name: size for name, size in expert_map.pool.items() if size is not None}
    known = sizes if set(experts) <= set(sizes) else None
    learned = learn_map(paired.only(experts), router.categories, known, Limits(), evidence=expert_map.evidence)
    return router.with_map(learned, paired, router.answered)


def trained(
    prompts: Sequence[LabelledPrompt],
    encoder: Encoder,
    experts: Sequence[str],
    sizes: Mapping[str, ExpertSize] | None,
    *,
    seed: int = 0,
    progress: StageProgress | None = None,
) -> CategoryRouter:
    """A router that learned from `prompts` the categories and `experts`. Raises DataError, or MapError."""
    own = None if sizes is None else {name: sizes[name] for name in experts}
    kept = [
        replace(prompt, outcomes={name: prompt.outcomes[name] for name in experts if name in prompt.outcomes})
        for prompt in prompts
    ]
    # One point: the frontier is not reported here.
    frontier = () if own is None else (max(size.active_params_b for size in own.values()),)
    router, _ = train(kept, encoder, mapping=MapSettings(own, Limits(), frontier), seed=seed, progress=progress)
    return router


def cross_fitted(
    rows: Sequence[Recorded],
    train_without: Callable[[int, Sequence[LabelledPrompt]], CategoryRouter],
    encoder: Encoder,
    experts: Sequence[str],
    *,
    seed: int = 0,
) -> list[Judged]:
    """Every row, judged by what `train_without(fold, prompts)` made of the rows of the other folds.

    Rows that say nearly the same share a fold.
    """
    categories = sorted({row.prompt.category or "" for row in rows})
    labels = np.array([categories.index(row.prompt.category or "") for row in rows], dtype=np.int64)
    fold = assign_folds(encoder.encode([row.prompt.text for row in rows]), labels, FOLDS, seed)
    judged: list[Judged] = []
    for number in range(FOLDS):
        seen = [row.prompt for row, own in zip(rows, fold, strict=True) if own != number]
        held_out = [row for row, own in zip(rows, fold, strict=True) if own == number]
        if held_out:
            judged += judged_by(train_without(number, seen), held_out, experts)
    return judged
