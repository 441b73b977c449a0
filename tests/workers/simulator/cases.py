"""Small and random simulations that the tests share."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import groupby, pairwise
from operator import itemgetter

import pytest
from hypothesis import strategies as st

from workers.policies import Cost
from workers.simulator.comparison import Case
from workers.simulator.run import Run
from workers.simulator.trace import Request


def cost(size: int = 1, host: float = 1.0, disk: float = 3.0) -> Cost:
    return Cost(size=size, load_s={"host": host, "disk": disk})


def request(t: float, expert: str, service_s: float = 1.0) -> Request:
    return Request(t, expert, service_s)


@st.composite
def cases(
    draw: st.DrawFn, max_requests: int = 40, max_experts: int = 6, max_t: int = 60, *, announced: bool = False
) -> Case:
    """Experts of one to three bytes on a device that holds a few, and requests for them, some of them `announced`."""
    names = "abcdefgh"[: draw(st.integers(2, max_experts))]
    experts = {}
    for name in names:
        host = draw(st.sampled_from([0.0, 0.5, 1.0, 2.0]))
        experts[name] = cost(draw(st.integers(1, 3)), host, host + draw(st.sampled_from([0.0, 1.0, 4.0])))
    rows = draw(
        st.lists(
            st.tuples(st.integers(0, max_t), st.sampled_from(names), st.sampled_from([0.0, 0.5, 1.0, 3.0])),
            min_size=1,
            max_size=max_requests,
        )
    )
    requests = [request(float(t), name, service_s) for t, name, service_s in sorted(rows)]
    if announced:
        ahead_s = st.sampled_from([None, 0.0, 2.0, 20.0])
        requests = [replace(one, announced=_before(one.t, draw(ahead_s))) for one in requests]
    return Case(
        requests=requests,
        experts=experts,
        device_bytes=max(one.size for one in experts.values()) + draw(st.integers(0, 3)),
        host_bytes=draw(st.sampled_from([0, 1, 3, 6, 100])),
    )


def _before(t: float, seconds: float | None) -> float | None:
    return None if seconds is None else max(0.0, t - seconds)


def assert_keeps_the_rules(case: Case, run: Run) -> None:
    """Every request served once while its expert is resident, one thing at a time, no budget exceeded."""
    sizes = {name: one.size for name, one in case.experts.items()}
    busy = [(load.start, load.end) for load in run.loads]
    busy += [(start, start + one.service_s) for start, one in zip(run.starts, case.requests, strict=True)]
    assert_one_at_a_time(busy)
    assert_one_at_a_time([(copy.start, copy.end) for copy in run.copies])
    held: set[str] = set()
    residencies: dict[str, list[list[float]]] = {name: [] for name in sizes}
    for load in run.loads:
        assert load.name not in held
        assert load.end - load.start == pytest.approx(case.experts[load.name].load_s[load.tier])
        held -= set(load.evicted)
        for name in load.evicted:
            residencies[name][-1][1] = load.start
        held.add(load.name)
        residencies[load.name].append([load.end, math.inf])
        assert sum(sizes[name] for name in held) <= case.device_bytes
    for start, one in zip(run.starts, case.requests, strict=True):
        assert start >= one.t
        assert any(begin <= start and start + one.service_s <= end for begin, end in residencies[one.expert])
    assert_host_budget(case, run)


def assert_one_at_a_time(spans: list[tuple[float, float]]) -> None:
    for (_, end), (start, _) in pairwise(sorted(spans)):
        assert start >= end - 1e-9


def assert_host_budget(case: Case, run: Run) -> None:
    """Copies take their room when they begin, and have it until they are dropped.

    Loads may take no time at all, so that what happens at one instant has no order.
    """
    sizes = {name: one.size for name, one in case.experts.items()}
    changes = [(one.at, -sizes[one.name]) for one in run.dropped]
    changes += [(copy.start, sizes[copy.name]) for copy in run.copies]
    changes += [(load.start, sizes[load.name]) for load in run.loads if load.kept]
    taken = 0
    for _, together in groupby(sorted(changes), key=itemgetter(0)):
        taken += sum(change for _, change in together)
        assert 0 <= taken <= case.host_bytes
