"""Figures of replayed plans: rows and plans go in, score against mean calls with intervals comes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coe.replay.judging import Judged
from coe.replay.plans import Alone, Oracle, Plan, Routed
from routers.gain import Gain, bootstrap
from routers.mapping.experts import ExpertSize

Interval = tuple[float, float]


@dataclass(frozen=True, slots=True)
class PlanFigures:
    """Of one plan, over all rows, with 95 % intervals by bootstrap.

    `series`: plans that differ in one setting share it. `score` in [0, 1]. `calls`: mean number of experts asked.
    `active_params_b`: mean active parameters of all calls together, in billions; None where sizes are not known.
    `gain`: score above that of the routed single expert, paired.
    """

    name: str
    series: str
    score: float
    score_ci95: Interval
    calls: float
    calls_ci95: Interval
    active_params_b: float | None
    gain: Gain


@dataclass(frozen=True, slots=True)
class Replay:
    """`n`: rows judged; `left_out`: rows of the data that were not. `category_accuracy`: of the router, None: not told.

    `references`: the best single expert of these rows and the best answer of each, both in hindsight.
    """

    n: int
    left_out: int
    experts: tuple[str, ...]
    category_accuracy: float | None
    plans: tuple[PlanFigures, ...]
    references: tuple[PlanFigures, ...]


def evaluate(
    judged: Sequence[Judged],
    plans: Sequence[Plan],
    experts: Sequence[str],
    sizes: Mapping[str, ExpertSize] | None,
    *,
    rows: int,
    seed: int = 0,
) -> Replay:
    """`judged`: one row or more. `rows`: how many the data held."""
    routed = _scores(Routed(), judged)[0]
    means = {name: np.mean([one.row.scores[name] for one in judged]) for name in experts}
    references: tuple[Plan, ...] = (Alone(max(means, key=lambda name: means[name])), Oracle())
    told = [one.found for one in judged if one.found is not None]

    def figures(plan: Plan) -> PlanFigures:
        scores, calls, active = _scores(plan, judged, sizes)
        return PlanFigures(
            name=plan.name,
            series=plan.series,
            score=float(scores.mean()),
            score_ci95=_interval(bootstrap(scores, seed)),
            calls=float(calls.mean()),
            calls_ci95=_interval(bootstrap(calls, seed)),
            active_params_b=None if sizes is None else float(active.mean()),
            gain=bootstrap(scores - routed, seed),
        )

    return Replay(
        n=len(judged),
        left_out=rows - len(judged),
        experts=tuple(experts),
        category_accuracy=float(np.mean(told)) if told else None,
        plans=tuple(map(figures, plans)),
        references=tuple(map(figures, references)),
    )


def _scores(
    plan: Plan, judged: Sequence[Judged], sizes: Mapping[str, ExpertSize] | None = None
) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], ...]:
    """Score, calls and active parameters in billions of every row."""
    replayed = [plan.replay(one) for one in judged]
    scores = [one.row.scores[found.expert] for one, found in zip(judged, replayed, strict=True)]
    active = [sum(sizes[name].active_params_b for name in found.asked) if sizes else 0.0 for found in replayed]
    return np.array(scores), np.array([float(len(found.asked)) for found in replayed]), np.array(active)


def _interval(found: Gain) -> Interval:
    assert found.ci95 is not None  # bootstrap gives one
    return found.ci95
