"""Placement: as good as trying everything, better than bin packing, and never silently impossible."""

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.workers.placement.by_trial import best_by_trial, bin_packing
from workers.errors import PlacementError, UnsolvedPlacementError
from workers.placement.linear import LinearProgram, Solution
from workers.placement.plan import Plan
from workers.placement.planner import SLACK, plan
from workers.placement.problem import CoUse, Exclusive, Expert, Problem, Worker
from workers.reports import Tier

SWAPPED: Mapping[Tier, float] = {"host": 1.0, "disk": 4.0}


def gpu(name: str, room: int = 10, *, devices: int = 1, host: int = 0) -> Worker:
    return Worker(name=name, device_bytes=room, devices=devices, host_bytes=host)


def expert(name: str, size: int = 5, demand: float = 1.0, **more: object) -> Expert:
    return Expert(name=name, size=size, demand=demand, **{"service_s": 1.0, "load_s": SWAPPED, **more})  # type: ignore[arg-type]  # each test names the fields that it is about


def where(found: Plan) -> dict[str, list[str]]:
    """The workers of each expert that is resident."""
    places: dict[str, list[str]] = {}
    for copy in found.copies:
        places.setdefault(copy.expert, []).append(copy.worker)
    return places


# What the plan is


def test_load_is_balanced_and_everything_that_has_room_is_resident() -> None:
    experts = (expert("a", demand=3), expert("b", demand=2), expert("c", demand=1), expert("idle", demand=0))
    found = plan(Problem(workers=(gpu("w0"), gpu("w1")), experts=experts), slack=0)
    assert found.maximum_load == pytest.approx(3)
    assert set(where(found)) == {"a", "b", "c", "idle"}
    assert not found.off_device
    assert found.proven


def test_a_hot_expert_gets_copies_and_its_requests_are_split_between_them() -> None:
    found = plan(Problem(workers=(gpu("w0"), gpu("w1")), experts=(expert("hot", demand=3), expert("cool"))), slack=0)
    shares = {copy.worker: copy.share for copy in found.copies if copy.expert == "hot"}
    assert sorted(shares.values()) == pytest.approx([1 / 3, 2 / 3])
    assert found.maximum_load == pytest.approx(2)
    assert found.replicas == 1


def test_no_copy_is_made_that_does_not_lower_the_maximum_load() -> None:
    found = plan(Problem(workers=(gpu("w0", 99), gpu("w1", 99)), experts=(expert("a"), expert("b"))), slack=0)
    assert found.replicas == 0


def test_what_has_no_room_is_the_least_asked_for_and_is_swapped_in_from_the_nearest_tier_with_room() -> None:
    experts = tuple(expert(f"e{demand}", demand=demand) for demand in (4, 3, 2, 1))
    found = plan(Problem(workers=(gpu("w", 12, host=5),), experts=experts))
    assert set(where(found)) == {"e4", "e3"}
    assert [(off.expert, off.tier, off.loading) for off in found.off_device] == [
        ("e2", "host", 2.0),
        ("e1", "disk", 4.0),
    ]
    assert found.maximum_load == pytest.approx(4 + 3 + 2 + 1 + 2 * 1 + 1 * 4)


def test_what_is_off_the_device_has_room_beside_what_stays() -> None:
    stays = expert("stays", 8, demand=0, pinned=frozenset({"idle"}))
    found = plan(Problem(workers=(gpu("idle", 10), gpu("busy", 5)), experts=(stays, expert("a"), expert("b"))))
    assert [off.worker for off in found.off_device] == ["busy"]


def test_experts_of_one_plan_share_a_worker() -> None:
    experts = tuple(expert(name) for name in "abcd")
    workers = (gpu("w0"), gpu("w1"))
    for pair in ("ab", "ac", "ad"):
        found = where(plan(Problem(workers=workers, experts=experts, co_use=(CoUse(frozenset(pair), 1.0),))))
        assert found[pair[0]] == found[pair[1]]


def test_a_plan_needs_the_fewest_workers_that_together_hold_its_experts() -> None:
    pairs = {"a": ("w0", "w1"), "b": ("w1", "w2"), "c": ("w0", "w2")}
    experts = tuple(expert(name, pinned=frozenset(on)) for name, on in pairs.items())
    workers = tuple(gpu(f"w{n}") for n in range(3))
    found = plan(Problem(workers=workers, experts=experts, co_use=(CoUse(frozenset("abc"), 3.0),)))
    assert {one.name: one.value for one in found.criteria}["split plans"] == pytest.approx(3 * (2 - 1))


def test_the_slack_says_how_much_load_a_better_plan_may_cost() -> None:
    experts = (expert("a", demand=1.0), expert("b", demand=1.0), expert("c", demand=1.02), expert("d", demand=1.02))
    limited = tuple(replace(one, max_replicas=1) for one in experts)
    problem = Problem(workers=(gpu("w0"), gpu("w1")), experts=limited, co_use=(CoUse(frozenset("cd"), 1.0),))
    strict, loose = plan(problem, slack=0), plan(problem, slack=0.05)
    assert strict.maximum_load == pytest.approx(2.02)
    assert loose.maximum_load == pytest.approx(2.04)
    assert where(loose)["c"] == where(loose)["d"]
    assert where(strict)["c"] != where(strict)["d"]
    assert loose.criteria[0].best == pytest.approx(2.02)


def test_what_runs_now_stays_where_it_is() -> None:
    experts = tuple(expert(name) for name in "abcd")
    present = {"w0": frozenset("bd"), "w1": frozenset("ac")}
    found = plan(Problem(workers=(gpu("w0"), gpu("w1")), experts=experts, present=present))
    assert where(found) == {"a": ["w1"], "b": ["w0"], "c": ["w1"], "d": ["w0"]}


def test_limits_hold() -> None:
    experts = (
        expert("here", demand=9, workers=frozenset({"w1"})),
        expert("twice", min_replicas=2),
        expert("once", demand=9, max_replicas=1),
        expert("pinned", demand=0, pinned=frozenset({"w2"})),
    )
    problem = Problem(
        workers=(gpu("w0"), gpu("w1"), gpu("w2")), experts=experts, exclusive=(Exclusive(frozenset({"here", "twice"})),)
    )
    found = where(plan(problem))
    assert found["here"] == ["w1"]
    assert found["twice"] == ["w0", "w2"]
    assert len(found.get("once", [])) <= 1
    assert "w2" in found["pinned"]


# Several devices


def test_large_experts_are_split_over_devices_that_they_share_with_no_more_than_fits() -> None:
    sizes = {"7b": (15, 1), "9b": (18, 1), "27b": (54, 1), "70b": (141, 2), "72b": (145, 2)}
    experts = tuple(
        expert(name, size * 10**9, devices=devices, max_replicas=1) for name, (size, devices) in sizes.items()
    )
    found = plan(Problem(workers=(gpu("node", 80 * 10**9, devices=8),), experts=experts))
    assert not found.off_device
    assert all(use.used <= use.budget for use in found.devices)
    devices = {copy.expert: copy.devices for copy in found.copies}
    assert {len(devices["70b"]), len(devices["72b"])} == {2}
    assert all(group[0] % len(group) == 0 for group in devices.values())
    assert found.maximum_load == pytest.approx(1), "each has devices of its own"
    assert max(use.used for use in found.devices) == 72_500_000_000


def test_copies_of_one_expert_may_be_on_several_devices_of_a_worker() -> None:
    found = plan(Problem(workers=(gpu("node", devices=4),), experts=(expert("hot", 20, demand=2, devices=2),)), slack=0)
    assert [copy.devices for copy in found.copies] == [(0, 1), (2, 3)]
    assert found.maximum_load == pytest.approx(1)


# How good it is


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    workers = [
        gpu(f"w{n}", draw(st.integers(4, 12)), host=draw(st.sampled_from([0, 6, 20])))
        for n in range(draw(st.integers(1, 3)))
    ]
    names = [worker.name for worker in workers]
    some = st.frozensets(st.sampled_from(names), min_size=1)
    experts = []
    for n in range(draw(st.integers(1, 5 if len(workers) < 3 else 4))):
        pinned = (
            draw(st.frozensets(st.sampled_from(names), max_size=1)) if draw(st.integers(0, 5)) == 0 else frozenset()
        )
        loads: Mapping[Tier, float] = draw(st.sampled_from([SWAPPED, SWAPPED, {"disk": 2.0}, {"disk": 0.0}, {}]))
        experts.append(
            expert(
                f"e{n}",
                draw(st.integers(1, 6)),
                draw(st.integers(0, 6)),
                service_s=draw(st.integers(1, 3)),
                load_s=loads,
                workers=draw(st.none() | some),
                pinned=pinned,
                min_replicas=draw(st.sampled_from([0, 0, 0, 1, 2])),
                max_replicas=draw(st.sampled_from([None, 1, 2])),
            )
        )
    named = st.sampled_from([one.name for one in experts])
    sets = st.frozensets(named, min_size=1)
    return Problem(
        workers=tuple(workers),
        experts=tuple(experts),
        co_use=tuple(CoUse(group, draw(st.integers(1, 3))) for group in draw(st.lists(sets, max_size=2))),
        exclusive=tuple(Exclusive(group, draw(st.none() | some)) for group in draw(st.lists(sets, max_size=1))),
        present=draw(st.none() | st.dictionaries(st.sampled_from(names), st.frozensets(named))),
    )


def or_refused(draw: st.DrawFn) -> Problem | None:
    try:
        return draw(problems())
    except PlacementError:
        return None


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(st.composite(or_refused)().filter(bool), st.sampled_from([0.0, SLACK]))
def test_no_placement_is_better(problem: Problem, slack: float) -> None:
    best = best_by_trial(problem, slack)
    if best is None:
        with pytest.raises(PlacementError):
            plan(problem, slack=slack)
        return
    found = plan(problem, slack=slack)
    for criterion in found.criteria:
        assert criterion.best == pytest.approx(best.pop(criterion.name), abs=1e-5, rel=1e-5), criterion.name
        within = 1 + slack if criterion.name == "maximum load" else 1
        assert criterion.value <= criterion.best * within + 1e-4
        assert criterion.gap <= 1e-5
    assert not any(best.values()), "an aim was left out that could be missed"
    assert found.maximum_load == pytest.approx(found.criteria[0].value, abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=7), st.integers(2, 3))
def test_greedy_bin_packing_is_never_better(demands: list[int], workers: int) -> None:
    problem = one_copy_each(demands, workers)
    assert plan(problem, slack=0).maximum_load <= bin_packing(problem) + 1e-6


@pytest.mark.parametrize(
    ("demands", "workers", "greedy", "best"), [([3, 3, 2, 2, 2], 2, 7, 6), ([5, 5, 4, 4, 3, 3, 3], 3, 11, 9)]
)
def test_where_greedy_bin_packing_is_worse(demands: list[int], workers: int, greedy: float, best: float) -> None:
    """The worst case of longest processing time first (Graham 1969): 4/3 - 1/(3 workers) times the optimum."""
    problem = one_copy_each(demands, workers)
    assert bin_packing(problem) == greedy
    assert plan(problem, slack=0).maximum_load == pytest.approx(best)


def test_bin_packing_by_load_can_leave_out_what_fits() -> None:
    sizes = {"a": 5, "b": 5, "c": 4, "d": 3, "e": 3}
    experts = tuple(expert(name, size, demand=9 - n, load_s={}) for n, (name, size) in enumerate(sizes.items()))
    problem = Problem(workers=(gpu("w0"), gpu("w1")), experts=experts)
    assert bin_packing(problem) == math.inf
    assert len(plan(problem).copies) == 5


def one_copy_each(demands: list[int], workers: int) -> Problem:
    experts = tuple(expert(f"e{n}", 1, demand, max_replicas=1) for n, demand in enumerate(demands))
    return Problem(workers=tuple(gpu(f"w{n}") for n in range(workers)), experts=experts)


def test_the_same_problem_gives_the_same_plan() -> None:
    experts = tuple(expert(f"e{n}", 3 + n % 3, demand=8 / (n + 1)) for n in range(7))
    problem = Problem(workers=(gpu("w0"), gpu("w1"), gpu("w2")), experts=experts)
    assert plan(problem) == plan(problem)


@pytest.mark.parametrize("time_limit_s", [0.1, 2])
def test_a_plan_that_was_not_proven_in_time_tells_its_gap(time_limit_s: float) -> None:
    found = plan(hard_problem(), slack=0, time_limit_s=time_limit_s)
    assert not found.proven
    assert found.criteria[0].bound < found.criteria[0].best


def test_where_nothing_was_found_in_time_it_is_said_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def scripted_search(*_: object) -> Solution:
        return Solution(None, 0.0)

    monkeypatch.setattr(LinearProgram, "minimise", scripted_search)
    with pytest.raises(UnsolvedPlacementError, match="give it longer"):
        plan(hard_problem())


def hard_problem() -> Problem:
    experts = tuple(expert(f"e{n}", 8 + n * 7 % 13, demand=4 / (n + 1)) for n in range(24))
    return Problem(workers=tuple(gpu(f"w{n}", 40) for n in range(6)), experts=experts)


# What cannot be met

HERE, W0, W1 = frozenset({"w0", "w1"}), frozenset({"w0"}), frozenset({"w1"})


@pytest.mark.parametrize(
    ("experts", "exclusive", "cause", "remedy"),
    [
        ([expert("big", 11)], [], "`big` fits no worker", "raise `device_gb`"),
        ([expert("big", 19)], [], "`big` fits no worker", "`devices: 2`"),
        ([expert("wide", 19, devices=4)], [], "`wide` fits no worker", "lower its `devices`"),
        ([expert("a", pinned=W0, workers=W1)], [], "pinned to w0, which its `workers` leave out", "unpin"),
        ([expert("a", pinned=HERE, max_replicas=1)], [], "needs 2 copies", "`max_replicas` is 1"),
        ([expert("a", min_replicas=9)], [], "room for 3 at most", "lower `min_replicas`"),
        ([expert("a", 6, pinned=W0), expert("b", 6, pinned=W0)], [], "`a`, `b` are pinned to `w0`", "unpin some"),
        ([expert("a", 2, pinned=W0), expert("b", 2, pinned=W0)], ["ab"], "`a` and `b` exclude each other", "unpin one"),
        ([expert(name, 6, load_s={}) for name in "abcd"], [], "`a`, `b`, `c`, `d`; they do not fit", "tell `load_s`"),
        ([expert(name, 1, load_s={}) for name in "abc"], ["abc"], "the `exclusive` groups do not let them", "drop"),
        ([expert("a"), expert("a")], [], "`a` is there twice", "rename one"),
        ([expert("a", workers=frozenset({"w9"}))], [], "`workers` of `a` names `w9`", "known: w0, w1"),
        ([expert("a")], ["az"], "`exclusive` names `z`", "known: a"),
        ([], [], "there is no expert", "name at least one"),
    ],
)
def test_what_is_impossible_is_named_with_its_remedy(
    experts: list[Expert], exclusive: list[str], cause: str, remedy: str
) -> None:
    with pytest.raises(PlacementError) as error:
        plan(
            Problem(
                workers=(gpu("w0"), gpu("w1", devices=2)),
                experts=tuple(experts),
                exclusive=tuple(Exclusive(frozenset(group)) for group in exclusive),
            )
        )
    assert cause in str(error.value)
    assert remedy in str(error.value)


def test_the_least_that_is_missing_is_told_by_device() -> None:
    experts = tuple(expert(name, 6 * 10**9, min_replicas=1) for name in "abc")
    workers = (gpu("w0", 10 * 10**9), gpu("w1", 10 * 10**9))
    with pytest.raises(PlacementError, match=r"missing is 2 GB on device 0 of `w[01]`"):
        plan(Problem(workers=workers, experts=experts))
