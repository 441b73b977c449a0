"""Who is asked first, and how what a gateway sends itself corrects reports that are older."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.gateway.dispatch import HORIZON_S, Candidate, SentLedger, best_first
from workers.reports import ExpertReport, Tier, WorkerReport


def candidate(name: str, *, tier: Tier = "device", load: int = 0, sent: int = 0, **held: float) -> Candidate:
    expert = ExpertReport(name="poet", model="base", state="ready", tier=tier, **held)  # type: ignore[arg-type]  # counts
    report = WorkerReport(worker_id=name, group="w", url=name, pid=1, epoch=1, experts=(expert,), engines=())
    return Candidate(report, expert, load, sent)


def order(*candidates: Candidate) -> str:
    return "".join(found.report.worker_id for found in best_first(candidates))


def test_a_worker_that_holds_the_expert_and_has_room_goes_before_all_others() -> None:
    away = candidate("a", tier="host", wait_s=0.1)
    full = candidate("b", wait_s=0.2)
    room = candidate("c", room=1, load=9)
    assert order(away, full, room) == "cab"


def test_of_those_with_room_the_least_loaded_is_first() -> None:
    assert (
        order(candidate("a", room=1, load=2), candidate("b", room=9, load=3), candidate("c", room=1, load=1)) == "cab"
    )


def test_without_room_the_cheaper_of_queue_and_swap_is_first() -> None:
    assert order(candidate("a", wait_s=3), candidate("b", tier="host", wait_s=0.5)) == "ba"
    assert order(candidate("a", wait_s=0.3), candidate("b", tier="disk", wait_s=0.5)) == "ab"


def test_what_was_sent_since_the_report_takes_up_room() -> None:
    room = candidate("a", room=2, wait_s=0)
    assert replace(room, sent=1).has_room
    assert not replace(room, sent=2).has_room
    assert replace(candidate("a", room=0), sent=-1).has_room  # one that the report counts has ended


def test_requests_of_one_expert_share_its_swap_until_no_more_run_together() -> None:
    cold = replace(candidate("a", tier="host", wait_s=0.5), at_once=3)
    assert replace(cold, sent=3).wait_s == 0.5
    assert replace(cold, sent=4).wait_s == 1.0
    assert replace(cold, held=replace(cold.held, waiting=2), sent=1).wait_s == 0.5
    behind_two = candidate("a", waiting=2, wait_s=3.0)
    assert replace(behind_two, sent=1).wait_s == pytest.approx(4.0)  # a second for each in the queue


def test_of_equals_the_one_that_will_swap_the_expert_in_anyway_is_first() -> None:
    cold, swapping = (candidate(name, tier="disk", wait_s=0.5) for name in "ab")
    assert order(cold, replace(swapping, sent=1, load=1)) == "ba"


def test_a_swap_for_another_expert_that_was_just_caused_counts() -> None:
    first = replace(candidate("a", tier="host", wait_s=0.5), others_s=0.4)
    assert order(first, candidate("b", tier="host", wait_s=0.6)) == "ba"


def test_a_burst_spreads_by_room_and_then_by_wait() -> None:
    """Between two reports each request goes to the best worker, and counts there from then on."""
    workers = {
        "a": candidate("a", room=3, wait_s=2),
        "b": candidate("b", room=2, wait_s=2),
        "c": replace(candidate("c", tier="host", wait_s=0.5), at_once=8),
    }
    for _ in range(9):
        best = best_first(workers.values())[0]
        workers[best.report.worker_id] = replace(best, sent=best.sent + 1, load=best.load + 1)
    assert {name: found.sent for name, found in workers.items()} == {"a": 3, "b": 2, "c": 4}


def test_the_ledger_counts_what_a_report_cannot_know() -> None:
    ledger = SentLedger()
    ledger.began("w", "poet", 10.0)
    ledger.began("w", "poet", 11.0)
    ledger.began("w", "clerk", 11.5)
    ledger.ended("w", "clerk", 11.7)
    ledger.began("other", "poet", 11.0)
    assert ledger.since("w", 9.0, 12.0) == {"poet": 2}
    assert ledger.since("w", 10.5, 12.0) == {"poet": 1}
    assert ledger.since("w", 11.6, 12.0) == {"clerk": -1}  # the report saw it run
    assert ledger.since("w", 12.0, 12.0) == {}
    assert ledger.since("nobody", 0.0, 12.0) == {}


def test_a_clock_that_is_wrong_corrects_nothing_for_long() -> None:
    ledger = SentLedger()
    ledger.began("w", "poet", 100.0)
    assert ledger.since("w", 0.0, 101.0) == {"poet": 1}
    assert ledger.since("w", 0.0, 101.0 + HORIZON_S) == {}


def test_workers_that_are_gone_are_forgotten() -> None:
    ledger = SentLedger()
    ledger.began("w", "poet", 10.0)
    ledger.keep_only(["other"])
    assert ledger.since("w", 0.0, 10.0) == {}


EVENTS = st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.sampled_from([1, -1])), max_size=40)


@given(EVENTS, st.lists(st.integers(0, 41), max_size=5).map(sorted))
def test_the_sum_is_that_of_the_changes_after_the_report(
    events: list[tuple[str, str, int]], reports: list[int]
) -> None:
    ledger = SentLedger()
    for at, (worker, expert, change) in enumerate(events):
        (ledger.began if change > 0 else ledger.ended)(worker, expert, at / 100)
    for report in reports:
        for worker in "ab":
            found = ledger.since(worker, report / 100, 1.0)
            for expert in "xy":
                later = [c for at, (w, e, c) in enumerate(events) if (w, e) == (worker, expert) and at > report]
                assert found[expert] == sum(later)
