"""Policies side by side on one trace: a case and perhaps a maximum wait come in, figures and the optimum go out."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from workers.policies import Cost, FcfsLru, Grouping, Policy, make_policy
from workers.simulator.bound import load_seconds_bound
from workers.simulator.optimum import find_optimum
from workers.simulator.results import BASELINE, DEFAULT, Comparison, figures_of, ratio
from workers.simulator.run import Run, simulate
from workers.simulator.trace import Request
from workers.spec import MemorySpec

POLICIES: Mapping[str, Callable[[float], Policy]] = {
    DEFAULT: Grouping,
    BASELINE: lambda _: FcfsLru(),
    "worker": lambda max_wait_s: make_policy(MemorySpec(max_wait_s=max_wait_s), slots=1),
}
"""What makes a policy for a maximum wait in seconds. `worker` is the default one as workers run it, less patient."""

MAX_WAITS_S = (15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1200.0, 1800.0, 3600.0)
"""From which a maximum wait is proposed."""

TO_OPTIMUM, TO_BASELINE = 1.25, 0.5
"""What a proposed maximum wait shall reach: load seconds per second of the optimum, and of FCFS with LRU."""

_SHARE_OF_SPAN = 1 / 3  # of a trace that a proposed maximum wait may take, or its end hides what it costs
_ATTEMPTS = 6
_ROUNDS = 30  # of the bound, which is searched for thoroughly only in the end
_ROUNDING = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is simulated: requests in order of arrival, what experts cost, and the budgets."""

    requests: Sequence[Request]
    experts: Mapping[str, Cost]
    device_bytes: int
    host_bytes: int

    def run(self, policy: Policy) -> Run:
        """Raises SimulationError where an expert does not fit the device, or there is no request."""
        return simulate(self.requests, self.experts, policy, device_bytes=self.device_bytes, host_bytes=self.host_bytes)

    @property
    def span_s(self) -> float:
        """From the first arrival to the last."""
        return self.requests[-1].t - self.requests[0].t


@dataclass(frozen=True, slots=True)
class Held:
    """A maximum wait in seconds, and the default policy's run in which nobody waited longer."""

    max_wait_s: float
    run: Run


@dataclass(frozen=True, slots=True)
class Trial:
    """A maximum wait that was tried. A ratio that would mean nothing, or was not worth finding, is infinite."""

    max_wait_s: float
    run: Run
    to_baseline: float
    to_optimum: float

    @property
    def held(self) -> bool:
        return _holds(self.run, self.max_wait_s)

    @property
    def good(self) -> bool:
        return self.to_baseline <= TO_BASELINE and self.to_optimum <= TO_OPTIMUM


def compare(case: Case, max_wait_s: float | None = None, names: Sequence[str] = ()) -> Comparison:
    """The default policy, FCFS with LRU and those in `names`; without `max_wait_s`, with the one that is proposed.

    Raises:
        SimulationError: an expert does not fit the device, or there is no request.
    """
    baseline = case.run(FcfsLru())
    held = hold(case, max_wait_s if max_wait_s is not None else propose_max_wait(case, baseline))
    runs = {DEFAULT: held.run, BASELINE: baseline}
    for name in names:
        if name not in runs:
            runs[name] = case.run(POLICIES[name](held.max_wait_s))
    return Comparison(
        policies={name: figures_of(run) for name, run in runs.items()},
        optimum=find_optimum(
            case.requests,
            case.experts,
            device_bytes=case.device_bytes,
            host_bytes=case.host_bytes,
            max_wait_s=held.max_wait_s,
        ),
        max_wait_s=held.max_wait_s,
        asked_max_wait_s=max_wait_s,
    )


def hold(case: Case, max_wait_s: float) -> Held:
    """The default policy with `max_wait_s`, or with the first longer one that it holds on this trace."""
    runs: list[Run] = []
    for _ in range(_ATTEMPTS):
        run = case.run(Grouping(max_wait_s))
        if _holds(run, max_wait_s):
            return Held(max_wait_s, run)
        runs.append(run)
        max_wait_s = 1.02 * max(run.waits)
    shortest = min(runs, key=lambda run: max(run.waits))
    return Held(max(shortest.waits), shortest)


def propose_max_wait(case: Case, baseline: Run) -> float:
    """The shortest of `MAX_WAITS_S` that is held with little loading; where none is, the one with the least."""
    tried = []
    for trial in trials(case, baseline):
        if trial.good:
            return trial.max_wait_s
        tried.append(trial)
    best = min(tried, key=lambda trial: (trial.to_optimum, trial.to_baseline), default=None)
    return best.max_wait_s if best is not None and best.held else MAX_WAITS_S[2]


def trials(case: Case, baseline: Run) -> list[Trial]:
    """The default policy with each of `MAX_WAITS_S` that the trace is long enough for, up to the first good one."""
    found: list[Trial] = []
    for max_wait_s in MAX_WAITS_S:
        if max_wait_s > _SHARE_OF_SPAN * case.span_s:
            break
        found.append(_tried(case, baseline, max_wait_s))
        if found[-1].good:
            break
    return found


def _tried(case: Case, baseline: Run, max_wait_s: float) -> Trial:
    run = case.run(Grouping(max_wait_s))
    if not _holds(run, max_wait_s):
        return Trial(max_wait_s, run, math.inf, math.inf)
    to_baseline = ratio(run.load_seconds, baseline.load_seconds)
    if to_baseline > TO_BASELINE:
        return Trial(max_wait_s, run, to_baseline, math.inf)
    bound = load_seconds_bound(
        case.requests,
        case.experts,
        device_bytes=case.device_bytes,
        host_bytes=case.host_bytes,
        max_wait_s=max_wait_s,
        rounds=_ROUNDS,
    )
    return Trial(max_wait_s, run, to_baseline, ratio(run.load_seconds, bound))


def _holds(run: Run, max_wait_s: float) -> bool:
    return max(run.waits) <= max_wait_s + _ROUNDING
