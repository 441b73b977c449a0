"""The exact search against a brute force of its own, and the bound against both and against every policy."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.simulator.cases import cases, cost, request
from workers.policies import FcfsLru, Grouping
from workers.simulator.bound import load_seconds_bound
from workers.simulator.comparison import POLICIES, Case
from workers.simulator.exact import least_load_seconds
from workers.simulator.generators import KINDS, TraceSpec, make_experts, make_trace
from workers.simulator.optimum import find_optimum


def exact(case: Case, max_wait_s: float) -> float | None:
    return least_load_seconds(
        case.requests,
        case.experts,
        device_bytes=case.device_bytes,
        host_bytes=case.host_bytes,
        max_wait_s=max_wait_s,
    )


def bound(case: Case, max_wait_s: float) -> float:
    return load_seconds_bound(
        case.requests,
        case.experts,
        device_bytes=case.device_bytes,
        host_bytes=case.host_bytes,
        max_wait_s=max_wait_s,
    )


def brute_force(case: Case, max_wait_s: float) -> float:
    """Without host memory: every order of loads and services and every eviction, each at the earliest; inf: none."""
    everything = frozenset(range(len(case.requests)))
    return _least(case, max_wait_s, now=case.requests[0].t, left=everything, held=frozenset(), new=frozenset())


def _least(
    case: Case, max_wait_s: float, *, now: float, left: frozenset[int], held: frozenset[str], new: frozenset[str]
) -> float:
    """`new`: loaded since the last service, and of no use if it left again before the next."""
    if any(case.requests[index].t + max_wait_s < now for index in left):
        return math.inf
    best = math.inf if left else 0.0
    for index in left:
        one = case.requests[index]
        start = max(now, one.t)
        if one.expert in held and start <= one.t + max_wait_s:
            then = _least(case, max_wait_s, now=start + one.service_s, left=left - {index}, held=held, new=frozenset())
            best = min(best, then)
    for name in {case.requests[index].expert for index in left} - held:
        load_s = case.experts[name].load_s["disk"]
        for kept in _kept(case, held, name):
            if new <= kept:
                then = _least(case, max_wait_s, now=now + load_s, left=left, held=kept | {name}, new=new | {name})
                best = min(best, load_s + then)
    return best


def _kept(case: Case, held: frozenset[str], name: str) -> Iterator[frozenset[str]]:
    """What may stay on the device beside `name`."""
    for number in range(len(held) + 1):
        for kept in map(frozenset, combinations(held, number)):
            if sum(case.experts[one].size for one in kept | {name}) <= case.device_bytes:
                yield kept


@settings(deadline=None)
@given(cases(max_requests=5, max_experts=4, max_t=15), st.sampled_from([2.0, 5.0, 20.0]))
def test_the_search_finds_what_brute_force_finds(case: Case, max_wait_s: float) -> None:
    without_host = replace(case, host_bytes=0)
    found, expected = exact(without_host, max_wait_s), brute_force(without_host, max_wait_s)
    assert (math.inf if found is None else found) == expected


@settings(deadline=None)
@given(cases(max_requests=7, max_experts=4, max_t=25), st.sampled_from([2.0, 8.0, 30.0]))
def test_no_policy_loads_less_than_the_optimum_and_the_bound_is_below_it(case: Case, max_wait_s: float) -> None:
    runs = [case.run(make(max_wait_s)) for make in POLICIES.values()]
    held = max(max_wait_s, *(max(run.waits) for run in runs))
    optimum = exact(case, held)
    below = bound(case, held)
    for run in runs:
        assert below <= run.load_seconds + 1e-9
        assert optimum is None or optimum <= run.load_seconds + 1e-9
    assert optimum is None or below <= optimum + 1e-9


@settings(deadline=None, max_examples=30)
@given(cases(max_requests=60, max_t=120), st.sampled_from([3.0, 20.0]))
def test_the_bound_is_below_every_policy_on_longer_traces(case: Case, max_wait_s: float) -> None:
    for make in POLICIES.values():
        run = case.run(make(max_wait_s))
        assert bound(case, max(run.waits)) <= run.load_seconds + 1e-9


def test_copies_ahead_count_for_the_optimum() -> None:
    experts = {"a": cost(host=1.0, disk=5.0), "b": cost(host=1.0, disk=5.0)}
    case = Case(requests=[request(0.0, "a"), request(0.0, "b")], experts=experts, device_bytes=2, host_bytes=2)
    assert exact(case, 60.0) == 2.0
    assert exact(case, 7.0) == 6.0  # one comes from disk, or the other waits for 9 s
    assert exact(replace(case, host_bytes=0), 60.0) == 10.0
    assert exact(case, 0.5) is None


def test_the_bound_knows_that_one_channel_cannot_copy_all_in_time() -> None:
    experts = {name: cost(host=1.0, disk=5.0) for name in "abcdefghijkl"}
    case = Case(requests=[request(0.0, name, 0.0) for name in experts], experts=experts, device_bytes=12, host_bytes=12)
    assert bound(case, 1000.0) == sum([1.0] * 12) * (1 - 1e-9)
    assert bound(case, 21.0) > 12 + 48 - 21


def test_small_traces_are_solved_and_large_ones_bounded() -> None:
    small = Case(requests=[request(0.0, "a")], experts={"a": cost()}, device_bytes=1, host_bytes=1)
    budgets = {"device_bytes": 1, "host_bytes": 1}
    assert find_optimum(small.requests, small.experts, max_wait_s=9.0, **budgets).kind == "exact"
    many = [request(float(t), "a") for t in range(30)]
    assert find_optimum(many, small.experts, max_wait_s=9.0, **budgets).kind == "bound"


def test_the_bound_is_tight_enough_to_be_of_use() -> None:
    """On made traces it is above half of what the default policy needs."""
    for seed, kind in enumerate(KINDS):
        experts = make_experts(30, seed, spread=0.2)
        case = Case(
            requests=make_trace(kind, list(experts), TraceSpec(requests=600, rate=1.0), seed),
            experts=experts,
            device_bytes=70 * 10**9,
            host_bytes=1000 * 10**9,
        )
        run = case.run(Grouping(60.0))
        assert bound(case, max(run.waits)) > 0.5 * run.load_seconds
        assert case.run(FcfsLru()).load_seconds > run.load_seconds
