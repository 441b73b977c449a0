"""The maximum wait that a comparison states is held, and proposals say what they rest on."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.simulator.cases import cases
from workers.simulator.comparison import MAX_WAITS_S, Case, compare
from workers.simulator.generators import TraceSpec, make_experts, make_trace
from workers.simulator.proposals import propose
from workers.simulator.results import DEFAULT, ratio


@settings(deadline=None, max_examples=40)
@given(cases(max_requests=25), st.sampled_from([None, 0.5, 5.0, 100.0]))
def test_the_stated_maximum_wait_is_held_and_no_shorter_than_asked(case: Case, asked: float | None) -> None:
    found = compare(case, asked, ["worker"])
    assert found.policies[DEFAULT].wait_s.max <= found.max_wait_s + 1e-9
    assert found.max_wait_s >= (asked or 0.0)
    assert found.to_optimum >= 1 - 1e-6
    assert {figures.loads >= 1 for figures in found.policies.values()} == {True}


@settings(deadline=None, max_examples=40)
@given(cases(max_requests=20))
def test_what_is_easily_held_is_held_as_asked(case: Case) -> None:
    """A hundred times of what all loads and services take one after the other."""
    total = sum(one.service_s + case.experts[one.expert].load_s["disk"] for one in case.requests)
    assert compare(case, 100 * total + 100).max_wait_s == 100 * total + 100


def test_a_proposal_rests_on_figures_and_the_shortest_good_maximum_wait_is_taken() -> None:
    experts = make_experts(30, seed=1, spread=0.0)
    case = Case(
        requests=make_trace("zipf", list(experts), TraceSpec(requests=1500, rate=1.0), seed=1),
        experts=experts,
        device_bytes=70 * 10**9,
        host_bytes=500 * 10**9,
    )
    proposal = propose(case)
    assert proposal.max_wait_s in MAX_WAITS_S
    assert [one.value for one in proposal.max_waits] == list(MAX_WAITS_S[: len(proposal.max_waits)])
    assert proposal.max_waits[-1].figures.wait_s.max <= proposal.max_wait_s
    assert proposal.quantum_s >= 9 * 0.5
    assert [one.value for one in proposal.device] == [35e9, 70e9, 105e9, 140e9]
    loads = [one.figures.load_seconds for one in proposal.device]
    assert loads == sorted(loads, reverse=True)


def test_ratios_of_nothing() -> None:
    assert ratio(0.0, 0.0) == 1.0
    assert ratio(1.0, 0.0) == float("inf")
    assert ratio(1.0, 2.0) == 0.5
