import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.simulator.cases import assert_keeps_the_rules, cases, cost, request
from workers.errors import SimulationError
from workers.policies import Choice, FcfsLru, Grouping, Memory, Policy, Swap
from workers.simulator.comparison import POLICIES, Case
from workers.simulator.run import simulate
from workers.simulator.trace import Request


@given(cases(announced=True), st.sampled_from(sorted(POLICIES)), st.sampled_from([1.0, 5.0, 60.0]))
def test_every_request_is_served_once_within_the_budgets(case: Case, name: str, max_wait_s: float) -> None:
    assert_keeps_the_rules(case, case.run(POLICIES[name](max_wait_s)))


@given(cases(announced=True), st.sampled_from(sorted(POLICIES)))
def test_the_same_case_gives_the_same_run(case: Case, name: str) -> None:
    assert case.run(POLICIES[name](5.0)) == case.run(POLICIES[name](5.0))


def test_a_load_from_disk_leaves_a_copy_that_makes_the_next_load_cheap() -> None:
    experts = {"a": cost(host=1.0, disk=3.0), "b": cost(host=1.0, disk=3.0)}
    requests = [request(0.0, "a"), request(0.0, "b"), request(20.0, "a")]
    run = simulate(requests, experts, FcfsLru(), device_bytes=1, host_bytes=2)
    assert [(load.name, load.tier, load.start, load.end) for load in run.loads] == [
        ("a", "disk", 0.0, 3.0),
        ("b", "disk", 4.0, 7.0),
        ("a", "host", 20.0, 21.0),
    ]
    assert run.waits == [3.0, 7.0, 1.0]
    assert run.load_seconds == 7.0
    assert run.makespan_s == 22.0


def test_what_does_not_fit_host_memory_goes_past_it() -> None:
    experts = {"a": cost(size=2), "b": cost(size=2)}
    requests = [request(0.0, "a"), request(0.0, "b"), request(20.0, "a")]
    run = simulate(requests, experts, FcfsLru(), device_bytes=2, host_bytes=1)
    assert [load.tier for load in run.loads] == ["disk", "disk", "disk"]


def test_copies_ahead_run_beside_the_device_and_save_its_time() -> None:
    experts = {"a": cost(host=1.0, disk=5.0), "b": cost(host=1.0, disk=5.0)}
    requests = [request(0.0, "a"), request(0.0, "b")]
    run = simulate(requests, experts, Grouping(60.0), device_bytes=2, host_bytes=2)
    assert {load.tier for load in run.loads} == {"host"}
    assert [(copy.start, copy.end) for copy in run.copies] == [(0.0, 4.0), (4.0, 8.0)]
    assert run.load_seconds == 2.0


def test_what_is_announced_is_loaded_on_an_idle_device_before_it_is_asked() -> None:
    experts = {"a": cost(host=1.0, disk=3.0), "b": cost(host=1.0, disk=3.0)}
    requests = [request(0.0, "a"), Request(30.0, "b", 1.0, announced=1.0)]
    ahead = simulate(requests, experts, Grouping(60.0), device_bytes=1, host_bytes=0)
    assert [(load.name, load.start, load.evicted) for load in ahead.loads] == [
        ("a", 0.0, ()),
        ("b", 4.0, ("a",)),
    ]
    assert ahead.waits == [3.0, 0.0]
    late = simulate(requests, experts, FcfsLru(), device_bytes=1, host_bytes=0)
    assert late.waits == [3.0, 3.0]


def test_an_expert_larger_than_the_device_and_an_empty_trace_are_refused() -> None:
    with pytest.raises(SimulationError, match="'a' takes 2e-09 GB"):
        simulate([request(0.0, "a")], {"a": cost(size=2)}, FcfsLru(), device_bytes=1, host_bytes=0)
    with pytest.raises(SimulationError, match="no request"):
        simulate([], {"a": cost()}, FcfsLru(), device_bytes=1, host_bytes=0)


class _Overfull(FcfsLru):
    """A policy at fault: it evicts nothing."""

    def choose(self, memory: Memory, now: float) -> Choice:
        choice = super().choose(memory, now)
        return Swap(choice.name, ()) if isinstance(choice, Swap) else choice


def test_a_policy_that_exceeds_a_budget_is_found_out() -> None:
    policy: Policy = _Overfull()
    with pytest.raises(RuntimeError, match="no room"):
        simulate(
            [request(0.0, "a"), request(0.0, "b")], {"a": cost(), "b": cost()}, policy, device_bytes=1, host_bytes=0
        )
