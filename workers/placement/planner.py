"""The best placement: a `Problem` goes in, a `Plan` comes out, or an error that names what cannot be met.

Aims are met one after the other: each is minimised while those before it keep what they reached.
"""

import time
from collections import defaultdict

from workers.errors import PlacementError, UnsolvedPlacementError
from workers.placement.linear import TOLERANCE, Solution, Values, total
from workers.placement.plan import Copy, Criterion, DeviceUse, OffDevice, Plan
from workers.placement.problem import Problem, gigabytes
from workers.placement.program import Aim, Program, Spot

TIME_LIMIT_S = 60.0
SLACK = 0.05


def plan(problem: Problem, *, slack: float = SLACK, time_limit_s: float = TIME_LIMIT_S) -> Plan:
    """Choose what is resident where.

    Args:
        problem: what to place.
        slack: the part, from 0, by which the maximum load may exceed the least possible for the sake of later aims.
        time_limit_s: of all searches together. A plan that was not proven the best in that time tells its gap; one that
            ended before is the same on every run.

    Raises:
        PlacementError: nothing meets the problem; says what is short of what.
        UnsolvedPlacementError: nothing was found in the time.
    """
    program, deadline = Program(problem), time.monotonic() + time_limit_s
    aims = program.aims()
    reached: list[tuple[Aim, float, float]] = []
    values: Values | None = None
    for number, aim in enumerate(aims):
        left_s = deadline - time.monotonic()
        found = program.linear.minimise(aim.terms, left_s / 2 if number == 0 else left_s / (len(aims) - number))
        if values is None:
            values = found.values if found.values is not None else _any(program, found, time_limit_s)
        elif found.values is not None and total(aim.terms, found.values) < total(aim.terms, values):
            values = found.values
        best, unit = total(aim.terms, values), max(aim.terms.values())
        reached.append((aim, best, min(best, found.bound)))
        most = best / unit * (1 + (slack if number == 0 else 0))
        scaled = {column: value / unit for column, value in aim.terms.items()}
        program.linear.row(scaled, upper=most + TOLERANCE * max(1.0, most))
    assert values is not None  # there is always the aim of a small maximum load
    values = _even(problem, values)
    copies, off, devices = _layout(program, values)
    largest = max(use.load for use in devices)  # that of the solver may be above by its tolerance
    criteria = (
        Criterion(
            aim.name,
            largest if number == 0 else aim.offset + total(aim.terms, values),
            aim.offset + best,
            max(0.0, aim.offset + bound),
        )
        for number, (aim, best, bound) in enumerate(reached)
    )
    return Plan(copies, off, devices, tuple(criteria))


def _any(program: Program, found: Solution, time_limit_s: float) -> Values:
    """A feasible placement after a search that found none. One of few copies is found at once, if there is one."""
    if found.feasible:
        found = program.linear.minimise(program.aims()[-1].terms, time_limit_s)
    if found.values is not None:
        return found.values
    if not found.feasible:
        raise PlacementError(_what_lacks(program.problem, time_limit_s))
    raise UnsolvedPlacementError(
        f"no placement was found in {time_limit_s:g} s: give it longer, or fewer experts or workers at a time"
    )


def _even(problem: Problem, values: Values) -> Values:
    """The same copies, with requests split between them such that the maximum load is least."""
    program = Program(problem)  # without the bounds of the aims, which leave it too narrow a choice to be exact
    program.linear.fix(values)
    found = program.linear.minimise(
        {program.largest: 1.0}, TIME_LIMIT_S
    )  # nothing whole is left to choose: it is quick
    return values if found.values is None else found.values


def _what_lacks(problem: Problem, time_limit_s: float) -> str:
    """Why nothing is feasible: by how many bytes at least what must be resident is too large, or what excludes it."""
    program = Program(problem)
    for column in program.lacking.values():
        program.linear.upper[column] = float("inf")
    found = program.linear.minimise(dict.fromkeys(program.lacking.values(), 1.0), time_limit_s)
    must = ", ".join(f"`{e.name}`" for e in problem.experts if e.stays or e.min_replicas)
    if not found.feasible:
        groups = "; ".join(", ".join(sorted(group.experts)) for group in problem.exclusive)
        return (
            f"these must be resident: {must}; the `exclusive` groups do not let them ({groups}): drop a group, allow "
            "more `workers`, or tell `load_s` of an expert that may be swapped in"
        )
    short = (
        ()
        if found.values is None
        else (
            f"{gigabytes(found.values[column] * program.byte_unit)} on device {device} of `{problem.workers[w].name}`"
            for (w, device), column in program.lacking.items()
            if found.values[column] > TOLERANCE
        )
    )
    return (
        f"these must be resident: {must}; they do not fit together, the least that is missing is "
        f"{', '.join(short) or 'unknown'}: raise `device_gb`, unpin, lower `min_replicas`, or tell `load_s` of experts "
        "that may be swapped in"
    )


def _layout(program: Program, values: Values) -> tuple[tuple[Copy, ...], tuple[OffDevice, ...], tuple[DeviceUse, ...]]:
    experts, workers = program.problem.experts, program.problem.workers
    copies, off = [], []
    used, load = defaultdict[tuple[int, int], int](int), defaultdict[tuple[int, int], float](float)

    def take(spot: Spot, shard: int, work: float) -> None:
        for device in spot.devices:
            used[spot.worker, device] += shard
            load[spot.worker, device] += work

    for (e, spot), column in program.resident.items():
        if values[column]:
            expert, share = experts[e], float(values[program.share[e, spot]])
            copies.append(Copy(expert.name, workers[spot.worker].name, spot.devices, share))
            take(spot, expert.shard, share * expert.work)
    for (e, spot, tier), column in program.swapped.items():
        if values[column]:
            expert, loading = experts[e], experts[e].demand * experts[e].load_s[tier]
            off.append(OffDevice(expert.name, workers[spot.worker].name, spot.devices, tier, loading))
            take(spot, 0, expert.work + loading)
    devices = tuple(
        DeviceUse(worker.name, device, used[w, device], worker.device_bytes, load[w, device])
        for w, worker in enumerate(workers)
        for device in range(worker.devices)
    )
    return tuple(copies), tuple(off), devices
