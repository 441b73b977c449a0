"""How little loading would have done: a trace and a maximum wait come in, the optimum or a bound below it goes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from workers.policies import Cost
from workers.simulator.bound import load_seconds_bound
from workers.simulator.exact import least_load_seconds
from workers.simulator.trace import Request


@dataclass(frozen=True, slots=True)
class Optimum:
    """Seconds of loading. `exact`: some schedule reaches them; `bound`: none goes below."""

    load_seconds: float
    kind: Literal["exact", "bound"]


def find_optimum(
    requests: Sequence[Request],
    experts: Mapping[str, Cost],
    *,
    device_bytes: int,
    host_bytes: int,
    max_wait_s: float,
) -> Optimum:
    """Of all schedules in which nobody waits longer than `max_wait_s`: exact where the trace is small enough."""
    budgets = {"device_bytes": device_bytes, "host_bytes": host_bytes}
    exact = least_load_seconds(requests, experts, max_wait_s=max_wait_s, **budgets)
    if exact is not None:
        return Optimum(exact, "exact")
    return Optimum(load_seconds_bound(requests, experts, max_wait_s=max_wait_s, **budgets), "bound")
