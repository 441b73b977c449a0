"""The best placement by trying every one, for workers of one device each, and placements by bin packing."""

import math
from dataclasses import dataclass
from itertools import combinations, product

import numpy as np

from workers.placement.problem import Expert, Problem
from workers.placement.program import LEAST_DEMAND
from workers.reports import Tier

TOLERANCE = 2e-6


@dataclass(frozen=True, slots=True)
class Option:
    """What may be done with one expert: copies on some workers, or swapping it in on one from a tier."""

    expert: Expert
    on: frozenset[int]
    tier: Tier | None = None


def options(problem: Problem, expert: Expert) -> list[Option]:
    allowed = [
        w
        for w, worker in enumerate(problem.workers)
        if expert.size <= worker.device_bytes and (expert.workers is None or worker.name in expert.workers)
    ]
    pinned = {w for w, worker in enumerate(problem.workers) if worker.name in expert.pinned}
    most = len(allowed) if expert.max_replicas is None else expert.max_replicas
    resident = [
        Option(expert, frozenset(on))
        for count in range(max(1, expert.min_replicas), most + 1)
        for on in combinations(allowed, count)
        if pinned <= set(on)
    ]
    if expert.stays or expert.min_replicas:
        return resident
    return resident + [Option(expert, frozenset({w}), tier) for w in allowed for tier in expert.load_s]


def best_by_trial(problem: Problem, slack: float) -> dict[str, float] | None:
    """The least that each aim can be, given those before it; None where nothing is feasible."""
    choices = [options(problem, expert) for expert in problem.experts]
    tried = np.array([_figures(problem, choice) for choice in product(*choices) if _feasible(problem, choice)])
    if not len(tried):
        return None
    best = {}
    for number, aim in enumerate(("maximum load", "loading", "split plans", "bytes to load", "copies")):
        least = tried[:, number].min()
        best[aim] = float(least)
        most = least * (1 + slack if number == 0 else 1)
        tried = tried[tried[:, number] <= most + TOLERANCE * max(1.0, most)]
    return best


def _feasible(problem: Problem, choice: tuple[Option, ...]) -> bool:
    for w, worker in enumerate(problem.workers):
        held = [option.expert for option in choice if option.tier is None and w in option.on]
        stays = sum(expert.size for expert in held if expert.stays)
        swaps = [option for option in choice if option.tier is not None and w in option.on]
        hosted = sum(option.expert.size for option in swaps if option.tier == "host")
        if sum(expert.size for expert in held) > worker.device_bytes or hosted > worker.host_bytes:
            return False
        if any(stays + option.expert.size > worker.device_bytes for option in swaps):
            return False
        if any(len(group.on(worker.name) & {expert.name for expert in held}) > 1 for group in problem.exclusive):
            return False
    return True


def _figures(problem: Problem, choice: tuple[Option, ...]) -> tuple[float, ...]:
    floor = LEAST_DEMAND * sum(expert.demand for expert in problem.experts) / len(problem.experts) or 1.0
    served = {option.expert.name: option.on for option in choice}
    loading = sum(max(o.expert.demand, floor) * o.expert.load_s[o.tier] for o in choice if o.tier is not None)
    split = sum(
        together.weight * (_fewest(problem, [served[name] for name in together.experts]) - 1)
        for together in problem.co_use
    )
    copies = [(option.expert, w) for option in choice if option.tier is None for w in option.on]
    present = problem.present
    new = 0
    if present is not None:
        new = sum(e.size for e, w in copies if e.name not in present.get(problem.workers[w].name, ()))
    return maximum_load(choice, len(problem.workers)), loading, split, new, len(copies)


def maximum_load(choice: tuple[Option, ...], workers: int) -> float:
    """Of the best split between copies: by max-flow min-cut, some set of workers has to do all that only it can do."""
    work = [
        (o.on, o.expert.work + (o.expert.demand * o.expert.load_s[o.tier] if o.tier is not None else 0)) for o in choice
    ]
    return max(
        sum(seconds for on, seconds in work if on <= set(some)) / count
        for count in range(1, workers + 1)
        for some in combinations(range(workers), count)
    )


def _fewest(problem: Problem, places: list[frozenset[int]]) -> int:
    return next(
        count
        for count in range(1, len(problem.workers) + 1)
        for some in combinations(range(len(problem.workers)), count)
        if all(on & set(some) for on in places)
    )


def bin_packing(problem: Problem) -> float:
    """The maximum load of greedy bin packing: the most work first, each onto the least loaded worker that has room."""
    load, used = [0.0] * len(problem.workers), [0] * len(problem.workers)
    for expert in sorted(problem.experts, key=lambda one: -one.work):
        room = [w for w, one in enumerate(problem.workers) if used[w] + expert.size <= one.device_bytes]
        if not room:
            return math.inf
        chosen = min(room, key=lambda w: load[w])
        load[chosen] += expert.work
        used[chosen] += expert.size
    return max(load)
