"""Whom a map prefers, and why: in come the map and its paired outcomes, out comes the evidence by category."""

from collections.abc import Sequence
from typing import NamedTuple

from routers.mapping.expert_map import ExpertMap
from routers.mapping.paired import PairedScores


class Preference(NamedTuple):
    """A category's expert; None where no map was learned. For `gain` and `p_value` see `CategoryEntry`."""

    expert: str | None
    gain: float | None
    p_value: float | None


def preferences(
    paired: PairedScores | None, expert_map: ExpertMap | None, categories: Sequence[str]
) -> list[Preference]:
    """Of each category; without evidence where there is nothing to test."""
    if expert_map is None:
        return [Preference(None, None, None)] * len(categories)
    named = [expert_map.expert_for(category) for category in categories]
    default = default_expert(paired, expert_map)
    if paired is None or default is None:
        return [Preference(expert, None, None) for expert in named]
    place = paired.experts.index(default)
    differences, p_values = paired.differences(place)[0], paired.p_values(place)
    found: list[Preference] = []
    for row, expert in enumerate(named):
        own = paired.experts.index(expert)
        evidence = (None, None) if own == place else (float(differences[row, own]), float(p_values[row, own]))
        found.append(Preference(expert, *evidence))
    return found


def default_expert(paired: PairedScores | None, expert_map: ExpertMap) -> str | None:
    """The expert that others must be better than, as when the map was learned; None where nothing was learned."""
    if paired is None:
        return None
    overall = paired.overall()
    fitting = [i for i, name in enumerate(paired.experts) if expert_map.fits_alone(name)]
    return paired.experts[max(fitting, key=lambda i: overall[i])] if fitting else None
