from benchmarks.announcements import SETTINGS, Figures, Pair, Report, as_markdown, measure
from benchmarks.machine import Machine

MACHINE = Machine(cpu="cpu", cores=2, memory_gib=4.0, python="3.11", versions={}, busy_before=0.0)


def test_each_trace_is_run_both_ways() -> None:
    report = measure(traces=1, requests=60)
    assert [setting for setting, _ in report.pairs] == list(SETTINGS)
    [pair] = report.pairs[0][1]
    assert pair.announced.merging_s < pair.silent.merging_s


def test_the_report_tells_medians_of_what_changed() -> None:
    pairs = [Pair(Figures(100.0, 2.0, 1.0), Figures(100.0 + change, 1.0, 1.1)) for change in (-50.0, 10.0, 20.0)]
    shown = as_markdown(Report([(SETTINGS[0], pairs)], MACHINE))
    assert "| 12, 60 GB, 0.05/s, merged after 10 s | +10.0% | 2.00 → 1.00 | +10.0% |" in shown
