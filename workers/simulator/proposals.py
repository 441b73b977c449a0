"""Settings for a trace, with the figures that speak for them: a case comes in, proposals go out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from workers.policies import FcfsLru, Grouping
from workers.simulator.comparison import Case, propose_max_wait, trials
from workers.simulator.results import Figures, figures_of

_OVERHEAD = 0.1  # share of the device's time that loads may take while the quantum is used up
_DEVICE_STEPS = (0.5, 1.0, 1.5, 2.0)
_HOST_STEPS = (0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class Tried:
    """One setting, its value (seconds or bytes), and what the default policy makes of the trace with it."""

    value: float
    figures: Figures


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """`quantum_s` keeps loads to a tenth of the device's time where a policy swaps to save waiting."""

    max_wait_s: float
    quantum_s: float
    max_waits: Sequence[Tried]
    device: Sequence[Tried]
    host: Sequence[Tried]


def propose(case: Case, max_wait_s: float | None = None) -> Proposal:
    """Tries maximum waits, and with the one that is proposed, or `max_wait_s`, other budgets.

    Raises:
        SimulationError: an expert does not fit the device, or there is no request.
    """
    baseline = case.run(FcfsLru())
    chosen = max_wait_s if max_wait_s is not None else propose_max_wait(case, baseline)
    largest = max(cost.size for cost in case.experts.values())
    everything = sum(cost.size for cost in case.experts.values())
    devices = [round(step * case.device_bytes) for step in _DEVICE_STEPS if step * case.device_bytes >= largest]
    return Proposal(
        max_wait_s=chosen,
        quantum_s=_quantum_s(case),
        max_waits=[Tried(trial.max_wait_s, figures_of(trial.run)) for trial in trials(case, baseline)],
        device=[Tried(room, _figures(replace(case, device_bytes=room), chosen)) for room in devices],
        host=[
            Tried(room, _figures(replace(case, host_bytes=room), chosen))
            for room in (round(step * everything) for step in _HOST_STEPS)
        ],
    )


def _figures(case: Case, max_wait_s: float) -> Figures:
    return figures_of(case.run(Grouping(max_wait_s)))


def _quantum_s(case: Case) -> float:
    """So long that an average load from host memory is a tenth of load and quantum, in whole seconds from 1."""
    loads = [case.experts[request.expert].load_s["host"] for request in case.requests]
    mean = math.fsum(loads) / len(loads)
    return max(1.0, math.ceil(mean * (1 - _OVERHEAD) / _OVERHEAD))
