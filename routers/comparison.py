"""Comparison: in come outcomes, the categories found and an expert map, out comes what routing gained.

Compared with the routed score: the best single expert within the same budgets, the map under true categories, an
expert at random, and the best expert for each prompt; `co_failure` bounds all of them (arXiv 2606.27288).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from routers.abstention import GENERAL
from routers.gain import Gain, bootstrap
from routers.mapping.expert_map import ExpertMap
from routers.mapping.outcomes import experts_seen
from routers.prompts import LabelledPrompt
from routers.router import Classification


@dataclass(frozen=True, slots=True)
class Routed:
    """`active_params_b`: average over the rows, in billions; None where the experts' sizes are not known."""

    score: float | None = None
    active_params_b: float | None = None


@dataclass(frozen=True, slots=True)
class BestSingle:
    """The expert with the best mean on these rows, of those that fit the map's budgets alone."""

    expert: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Score:
    score: float | None = None


@dataclass(frozen=True, slots=True)
class OutcomeFigures:
    """Means over the rows that hold an outcome of every expert of the pool. `co_failure`: share that all fail."""

    routed: Routed = Routed()
    best_single: BestSingle = BestSingle()
    true_category: Score = Score()
    random: Score = Score()
    oracle: Score = Score()
    co_failure: float | None = None
    gain: Gain = field(default_factory=Gain)


@dataclass(frozen=True, slots=True, eq=False)
class _Scored:
    """Rows that can be compared on: `scores` (rows, experts), the expert chosen and the true category of each row."""

    experts: Sequence[str]
    scores: NDArray[np.float64]
    chosen: Sequence[str | None]
    true: Sequence[str | None]

    def of(self, chosen: Sequence[str]) -> NDArray[np.float64]:
        """(rows,): the score of the expert `chosen` for each row."""
        column = {expert: i for i, expert in enumerate(self.experts)}
        picked: NDArray[np.float64] = self.scores[np.arange(len(chosen)), [column[name] for name in chosen]]
        return picked


def compare(
    prompts: Sequence[LabelledPrompt], answers: Sequence[Classification], expert_map: ExpertMap | None, seed: int
) -> OutcomeFigures:
    """Figures of sending `prompts` to the experts of their `answers`. Without a map, those that need none."""
    rows = _scored(prompts, answers, expert_map)
    if rows is None:
        return OutcomeFigures()
    means = rows.scores.mean(axis=0)
    allowed = [i for i, name in enumerate(rows.experts) if expert_map is None or expert_map.fits_alone(name)]
    best = max(allowed, key=lambda i: means[i])
    best_single = BestSingle(rows.experts[best], float(means[best]))
    random, oracle = Score(float(means.mean())), Score(float(rows.scores.max(axis=1).mean()))
    co_failure = float((rows.scores.max(axis=1) <= 0).mean())
    if expert_map is None:
        return OutcomeFigures(best_single=best_single, random=random, oracle=oracle, co_failure=co_failure)
    chosen = [expert or expert_map.default for expert in rows.chosen]
    routed = rows.of(chosen)
    return OutcomeFigures(
        routed=Routed(float(routed.mean()), _active(expert_map, chosen)),
        best_single=best_single,
        true_category=_true_category(rows, expert_map),
        random=random,
        oracle=oracle,
        co_failure=co_failure,
        gain=bootstrap(routed - rows.scores[:, best], seed),
    )


def _scored(
    prompts: Sequence[LabelledPrompt], answers: Sequence[Classification], expert_map: ExpertMap | None
) -> _Scored | None:
    seen = experts_seen(prompts)
    experts = seen if expert_map is None else [name for name in seen if name in expert_map.pool]
    needed = set() if expert_map is None else {expert_map.default, *expert_map.by_category.values()}
    if not experts or not needed <= set(experts):
        return None
    if expert_map is not None and not any(expert_map.fits_alone(name) for name in experts):
        return None
    kept = [i for i, prompt in enumerate(prompts) if all(name in prompt.outcomes for name in experts)]
    if not kept:
        return None
    return _Scored(
        experts=experts,
        scores=np.array([[prompts[i].outcomes[name] for name in experts] for i in kept]),
        chosen=[answers[i].expert for i in kept],
        true=[_true(prompts[i]) for i in kept],
    )


def _true(prompt: LabelledPrompt) -> str | None:
    """The category that a perfect classifier would find; None: the row does not tell."""
    if not prompt.labelled:
        return None
    return GENERAL if prompt.category is None else prompt.category


def _true_category(rows: _Scored, expert_map: ExpertMap) -> Score:
    told = [i for i, category in enumerate(rows.true) if category is not None]
    if not told:
        return Score()
    chosen = [expert_map.expert_for(category or GENERAL) for category in rows.true]
    return Score(float(rows.of(chosen)[told].mean()))


def _active(expert_map: ExpertMap, chosen: Sequence[str]) -> float | None:
    sizes = [size.active_params_b for name in chosen if (size := expert_map.pool[name]) is not None]
    return float(np.mean(sizes)) if len(sizes) == len(chosen) else None
