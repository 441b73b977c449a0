"""From seconds of starts and swaps to the published figures."""

from benchmarks.machine import Machine
from benchmarks.swap_report import COLD_DISK, DISK, HOST, START, TO_HOST, WHOLE, Times, as_json, as_markdown, report

MACHINE = Machine("Some CPU", 2, 24.0, "3.11.7", {"coe": "0.1.0"}, 0.02)


def times(host_s: float) -> Times:
    found = Times(nbytes=270_000_000, unchanged_bytes=57_000_000, compared=9)
    for seconds in (59.0, 60.0, 61.0):
        found.add(START, seconds)
    for path in (DISK, COLD_DISK, HOST, WHOLE):
        for seconds in (host_s - 0.01, host_s, host_s + 0.01):
            found.add(path, seconds, loading=seconds - 0.1, verifying=0.1)
    found.add(TO_HOST, 0.2)
    return found


def test_a_swap_is_measured_against_a_start_and_against_a_memory_copy() -> None:
    found = report(MACHINE, times(0.3), 5.4e9, 2_000_000)
    host = found.paths[HOST]
    assert (host.p50_s, host.count, host.verify_s) == (0.3, 3, 0.1)
    assert host.bytes_per_s == 9e8
    assert [goal.holds for goal in found.goals] == [True] * 3
    assert round(found.goals[2].measured) == 200
    shown = as_markdown(found)
    assert "| host → device in place | 3 | 0.300 | 0.309 | 0.200 | 0.100 | 0.9 | 16.7% |" in shown
    assert "An expert has 270 MB in bfloat16, 57 MB of it in common with the others" in shown
    assert "Answers after all 9 swaps were those of a fresh process" in shown
    assert '"compared": 9' in as_json(found)


def test_a_missed_target_is_said() -> None:
    found = report(MACHINE, times(0.7), 5.4e9, 0)
    assert as_markdown(found).count("**missed**") == 3
