"""Experts that may answer instead of the one that the router names: its evidence in, those within a bound out.

What an expert is expected to score on a prompt is, as the router itself takes it, the estimate of its chooser where it
has one, else the mean of the scores by category, each drawn towards the expert's overall one (`PairedScores.shrunk`),
weighted by the calibrated probabilities of the categories. Limits that the map was learned within are kept.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from routers.mapping.expert_map import ExpertMap
from routers.router import CategoryRouter, Classification


@dataclass(frozen=True, slots=True)
class Alternative:
    """`score_loss`: the expected score of the expert that the router names, less this one's; negative where better."""

    expert: str
    score_loss: float


class Alternatives:
    """Of one router. Immutable and thread-safe.

    Args:
        router: one that learned from outcomes.
        experts: names of those that the service has.
        max_score_loss: the bound, in [0, 1].
    """

    def __init__(self, router: CategoryRouter, experts: Collection[str], max_score_loss: float) -> None:
        paired, expert_map = router.paired, router.expert_map
        assert paired is not None, "find_mismatches refuses a router without outcomes"
        assert expert_map is not None, "a router with outcomes has a map"
        self._by_prompt = router.chooses_by_prompt
        self._names = router.experts_to_choose if self._by_prompt else paired.experts
        self._places = {name: place for place, name in enumerate(self._names)}
        self._by_category = paired.shrunk()[:-1]  # the last row is of `general`, whose prompts stay
        self._max_score_loss = max_score_loss
        used = set(self._names if self._by_prompt else (expert_map.default, *expert_map.by_category.values()))
        self._allowed = np.array(
            [[_may_stand_in(expert_map, used, named, other, experts) for other in self._names] for named in self._names]
        )

    def of(self, found: Classification, expert: str) -> tuple[Alternative, ...]:
        """Those that may stand in for `expert`, whom the service would ask; the smallest loss first.

        None for a prompt that the classifier will not decide, and for an expert that nothing is known of.
        """
        place = self._places.get(expert)
        if found.abstained or place is None:
            return ()
        scores = self._expected(found)
        losses = scores[place] - scores
        near = np.flatnonzero(self._allowed[place] & (losses <= self._max_score_loss))
        return tuple(Alternative(self._names[i], float(losses[i])) for i in near[np.argsort(losses[near])])

    def _expected(self, found: Classification) -> NDArray[np.float64]:
        if self._by_prompt:
            return np.array(found.scores)
        expected: NDArray[np.float64] = np.array(list(found.probabilities.values())) @ self._by_category
        return expected


def _may_stand_in(
    expert_map: ExpertMap, used: Collection[str], named: str, other: str, experts: Collection[str]
) -> bool:
    """Whether the limits of the map hold whatever share of the traffic moves from `named` to `other`."""
    limits, size, its_size = expert_map.limits, expert_map.pool.get(named), expert_map.pool.get(other)
    if other == named or other not in experts or limits.max_share.get(other, 1.0) < 1:
        return False
    if limits.max_total_params_b is not None and other not in used:
        return False
    if limits.max_active_params_b is None:
        return True
    return size is not None and its_size is not None and its_size.active_params_b <= size.active_params_b
