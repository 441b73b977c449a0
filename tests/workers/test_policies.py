"""What policies promise, asked directly: what is where and what waits goes in, a choice comes out."""

from __future__ import annotations

import math
import time
from collections import deque

import pytest

from workers.policies import Cost, Expected, FcfsLru, Grouping, Memory, Serve, Swap, Wait


def make_memory(resident: str = "", host: str = "", *, device: int = 2, **queues: list[float]) -> Memory:
    """Experts a to j of one byte, 1 s from host memory and 4 s from disk; `queues` of arrivals."""
    return Memory(
        costs={name: Cost(size=1, load_s={"host": 1.0, "disk": 4.0}) for name in "abcdefghij"},
        device_bytes=device,
        host_bytes=10,
        resident=dict.fromkeys(resident, 0.0),
        host=dict.fromkeys(host, 0.0),
        queues={name: deque(times) for name, times in queues.items()},
    )


def asked(policy: Grouping | FcfsLru, **arrivals: list[float]) -> None:
    for t, name in sorted((t, name) for name, times in arrivals.items() for t in times):
        policy.arrived(name, t)


def test_fcfs_lru_serves_the_oldest_and_evicts_the_longest_unused() -> None:
    policy = FcfsLru()
    assert policy.choose(make_memory("ab", a=[2.0], c=[1.0]), 3.0) == Swap("c", ("a",))
    assert policy.choose(make_memory("ab", b=[1.0], c=[2.0]), 3.0) == Serve("b")
    assert policy.choose(make_memory("ab"), 3.0) == Wait()
    pinned = make_memory("ab", c=[1.0])
    pinned.pinned.update("ab")
    assert policy.choose(pinned, 3.0) == Wait()


def test_what_is_resident_is_served_before_what_would_cost_a_load() -> None:
    memory = make_memory("ab", "abc", b=[5.0], c=[0.0])
    assert Grouping(60.0).choose(memory, 6.0) == Serve("b")


def test_a_lone_request_waits_for_more_of_its_kind_but_not_beyond_the_maximum_wait() -> None:
    policy = Grouping(60.0)
    memory = make_memory("ab", "abc", c=[0.0])
    policy.loaded("b", 0.0)
    now, choice = 1.0, policy.choose(memory, 1.0)
    while isinstance(choice, Wait):
        assert now < choice.until < math.inf
        now = choice.until
        choice = policy.choose(memory, now)
    assert isinstance(choice, Swap)
    assert choice.name == "c"
    assert 50.0 < now + 1.0 <= 60.0


def test_a_patience_of_nothing_loads_at_once_on_an_idle_device() -> None:
    memory = make_memory("ab", "abc", c=[0.0])
    choice = Grouping(60.0, patience=0.0).choose(memory, 0.0)
    assert isinstance(choice, Swap)


def test_patience_is_waiting_for_loading() -> None:
    policy = Grouping(1000.0, patience=10.0)
    memory = make_memory("ab", "abc", c=[0.0, 0.0])
    assert policy.choose(memory, 0.0) == Wait(5.0)  # two requests wait 10 s together by then
    assert isinstance(policy.choose(memory, 5.0), Swap)


def test_an_impatient_policy_loads_as_soon_as_the_residents_are_served() -> None:
    policy = Grouping(60.0, patience=0.0)
    memory = make_memory("ab", "abc", b=[0.0], c=[0.0])
    assert policy.choose(memory, 0.0) == Serve("b")
    del memory.queues["b"]
    assert isinstance(policy.choose(memory, 1.0), Swap)


def test_an_idle_device_may_be_told_not_to_wait() -> None:
    policy = Grouping(60.0, idles=False)
    memory = make_memory("ab", "abc", c=[0.0])
    memory.running["b"] = 1
    assert isinstance(policy.choose(memory, 0.0), Wait)
    memory.running.clear()
    policy.ended("b", 1.0, 1.0)
    assert isinstance(policy.choose(memory, 1.0), Swap)


def test_an_arrival_ends_a_wait_that_it_makes_too_long() -> None:
    policy = Grouping(1000.0, patience=10.0)
    memory = make_memory("ab", "abc", c=[0.0])
    assert policy.choose(memory, 0.0) == Wait(10.0)
    memory.queues["c"].append(2.0)
    policy.arrived("c", 2.0)
    assert policy.choose(memory, 2.0) == Wait(6.0)


def test_an_urgent_request_goes_before_residents() -> None:
    memory = make_memory("ab", "abc", b=[50.0], c=[0.0])
    choice = Grouping(60.0).choose(memory, 58.9)
    assert isinstance(choice, Swap)
    assert choice.name == "c"
    assert choice.evict == ("a",)  # requests wait for b


def test_several_deadlines_are_planned_together() -> None:
    """Five loads of 1 s that are due at the same time begin five seconds before it."""
    memory = make_memory("ab", "abcdefg", c=[0.0], d=[0.0], e=[0.0], f=[0.0], g=[0.0])
    policy = Grouping(60.0)
    waits = policy.choose(memory, 1.0)
    assert isinstance(waits, Wait)
    assert isinstance(policy.choose(memory, 56.0), Swap)


def test_overload_serves_queue_by_queue_the_oldest_first() -> None:
    memory = make_memory("a", "ab", device=1, a=[0.0, 1.0, 200.0], b=[2.0])
    policy = Grouping(10.0)
    served = []
    for _ in range(3):
        choice = policy.choose(memory, 300.0)
        assert isinstance(choice, Serve)
        served.append(choice.name)
        memory.queues["a"].popleft()
    assert served == ["a", "a", "a"]
    del memory.queues["a"]
    assert policy.choose(memory, 300.0) == Swap("b", ("a",))


def test_the_least_asked_for_leaves_then_the_one_that_is_cheap_to_bring_back() -> None:
    policy = Grouping(60.0, patience=0.0)
    asked(policy, a=[0.0, 10.0, 20.0, 30.0], b=[30.0], c=[40.0])
    assert policy.choose(make_memory("ab", "abc", c=[40.0]), 40.0) == Swap("c", ("b",))
    policy = Grouping(60.0, patience=0.0)
    asked(policy, a=[0.0, 30.0], b=[0.0, 30.0], c=[40.0])
    assert policy.choose(make_memory("ab", "bc", c=[40.0]), 40.0) == Swap("c", ("b",))  # a would come from disk


def test_what_requests_wait_for_leaves_last_the_youngest_head_first() -> None:
    policy = Grouping(10.0)
    memory = make_memory("ab", "abc", a=[95.0], b=[90.0], c=[0.0])
    memory.full.update("ab")
    assert policy.choose(memory, 100.0) == Swap("c", ("a",))


def test_pinned_experts_stay_and_rivals_of_a_group_leave() -> None:
    memory = make_memory("ab", "abc", c=[0.0])
    memory.pinned.add("a")
    assert Grouping(60.0, patience=0.0).choose(memory, 0.0) == Swap("c", ("b",))
    memory.pinned.add("b")
    assert isinstance(Grouping(60.0, patience=0.0).choose(memory, 0.0), Wait)
    rivals = make_memory("a", "ac", device=9, c=[0.0])
    rivals.groups = (frozenset("ac"),)
    assert Grouping(60.0, patience=0.0).choose(rivals, 0.0) == Swap("c", ("a",))


def test_no_more_leaves_than_is_needed() -> None:
    costs = {
        name: Cost(size=size, load_s={"host": 1.0, "disk": 4.0}) for name, size in {"a": 1, "b": 3, "c": 3}.items()
    }
    memory = Memory(
        costs=costs, device_bytes=4, host_bytes=9, resident={"a": 0.0, "b": 0.0}, host=dict.fromkeys("abc", 0.0)
    )
    memory.queues["c"] = deque([0.0])
    assert Grouping(60.0, patience=0.0).choose(memory, 0.0) == Swap("c", ("b",))


def test_the_cap_on_swaps_gives_way_to_the_maximum_wait() -> None:
    policy = Grouping(30.0, patience=0.0, max_swaps_per_minute=1)
    assert isinstance(policy.choose(make_memory("ab", "abcd", c=[0.0]), 0.0), Swap)
    policy.loaded("c", 1.0)
    memory = make_memory("bc", "abcd", d=[2.0])
    assert isinstance(policy.choose(memory, 2.0), Wait)
    assert isinstance(policy.choose(memory, 30.9), Swap)


def test_the_quantum_is_served_before_a_load_that_only_saves_waiting() -> None:
    policy = Grouping(1000.0, patience=1.0, quantum_s=20.0)
    policy.loaded("b", 0.0)
    memory = make_memory("ab", "abc", b=[0.0, 1.0], c=[0.0])
    assert policy.choose(memory, 10.0) == Serve("b")
    assert isinstance(policy.choose(memory, 20.0), Swap)


def test_what_is_announced_comes_into_free_room_before_it_is_asked() -> None:
    memory = make_memory("a", "abc")
    memory.expected["c"] = Expected(0.1, until=60.0)
    assert Grouping(60.0).choose(memory, 1.0) == Swap("c", ())
    assert Grouping(60.0).choose(memory, 60.0) == Wait()  # it did not come
    assert FcfsLru().choose(memory, 1.0) == Wait()
    memory.resident["c"] = 1.0
    assert Grouping(60.0).choose(memory, 1.0) == Wait()


@pytest.mark.parametrize(("probability", "choice"), [(0.8, Swap("c", ("a",))), (0.79, Wait())])
def test_what_is_likely_comes_in_the_place_of_what_is_idle(probability: float, choice: Swap | Wait) -> None:
    memory = make_memory("ab", "abc")
    memory.expected["c"] = Expected(probability, until=60.0)
    policy = Grouping(60.0)
    asked(policy, b=[0.0])
    assert policy.choose(memory, 1.0) == choice
    assert Grouping(60.0, ahead_from=math.inf).choose(memory, 1.0) == Wait()


def test_nothing_that_runs_or_is_announced_itself_leaves_for_what_is_announced() -> None:
    memory = make_memory("ab", "abc")
    memory.expected.update(a=Expected(0.1, until=60.0), c=Expected(1.0, until=60.0))
    policy = Grouping(60.0)
    asked(policy, b=[0.0, 1.0])
    assert policy.choose(memory, 2.0) == Swap("c", ("b",))  # b is asked for more, but a is announced
    memory.running["b"] = 1
    assert policy.choose(memory, 2.0) == Wait()


def test_what_is_announced_gives_way_to_what_waits() -> None:
    memory = make_memory("ab", "abcd", d=[0.0])
    memory.expected.update(a=Expected(1.0, until=60.0), c=Expected(1.0, until=60.0))
    assert Grouping(60.0, patience=0.0).choose(memory, 1.0) == Swap("d", ("b",))


def test_loads_ahead_count_for_the_cap_on_swaps() -> None:
    policy = Grouping(60.0, max_swaps_per_minute=1)
    memory = make_memory("a", "abc", device=9)
    memory.expected.update(b=Expected(1.0, until=600.0), c=Expected(1.0, until=600.0))
    assert policy.choose(memory, 5.0) == Swap("b", ())
    memory.resident["b"] = 5.0
    assert policy.choose(memory, 6.0) == Wait(65.0)
    assert policy.choose(memory, 65.0) == Swap("c", ())


def test_copies_ahead_are_for_what_waits_longest_then_for_what_fits() -> None:
    policy = Grouping(60.0)
    asked(policy, c=[1.0], d=[0.0], e=[0.0, 0.0])
    memory = make_memory("ab", "ab", c=[1.0], d=[0.0])
    assert policy.prefetch(memory, 2.0) == "d"
    assert Grouping(60.0).prefetch(make_memory("ab", "abcdefghij"), 2.0) is None
    idle = make_memory("ab", "abcd")
    assert policy.prefetch(idle, 2.0) == "e"


def test_copies_leave_host_memory_by_what_their_loss_costs() -> None:
    policy = Grouping(60.0)
    asked(policy, a=[0.0, 1.0, 2.0], b=[2.0], c=[0.0, 1.0, 2.0], d=[2.0], e=[1.0])
    order = policy.leaves_host(make_memory("ab", "abcde", e=[1.0]), 3.0)
    assert order[0] == "a"  # safe on the device
    assert order[-1] == "e"  # waited for
    assert order.index("d") < order.index("c")


def test_a_maximum_wait_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="above 0"):
        Grouping(0.0)


def test_choosing_is_cheap_with_a_hundred_experts() -> None:
    """In the middle of a hundred queues; far below what serving a request takes, with room for a slow machine."""
    names = [f"e{number}" for number in range(100)]
    memory = Memory(
        costs={name: Cost(size=1, load_s={"host": 0.1, "disk": 1.0}) for name in names},
        device_bytes=10,
        host_bytes=100,
        resident=dict.fromkeys(names[:10], 0.0),
        host=dict.fromkeys(names, 0.0),
        queues={name: deque([number / 100]) for number, name in enumerate(names)},
    )
    policy = Grouping(1000.0)
    started = time.perf_counter()
    for step in range(1000):
        policy.choose(memory, 1.0 + step / 1e4)
    assert (time.perf_counter() - started) / 1000 < 500e-6


def test_an_urgent_request_that_cannot_be_helped_is_tried_again() -> None:
    policy = Grouping(10.0)
    memory = make_memory("ab", "abc", a=[95.0], c=[0.0])
    memory.pinned.update("ab")
    memory.full.add("a")
    assert policy.choose(memory, 100.0) == Wait()
    memory.full.clear()
    assert policy.choose(memory, 101.0) == Serve("a")
    memory.pinned.discard("b")
    assert policy.choose(memory, 102.0) == Swap("c", ("b",))
