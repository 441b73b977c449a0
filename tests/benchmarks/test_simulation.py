from benchmarks.machine import Machine
from benchmarks.simulation import Measured, Report, as_markdown, drawn_case
from workers.simulator.comparison import compare

MACHINE = Machine(cpu="cpu", cores=2, memory_gib=4.0, python="3.11", versions={}, busy_before=0.0)


def test_a_seed_draws_one_case_whose_experts_fit() -> None:
    case = drawn_case("zipf", 3, 50)
    assert case == drawn_case("zipf", 3, 50)
    assert case != drawn_case("zipf", 4, 50)
    assert len(case.experts) == 100
    assert max(cost.size for cost in case.experts.values()) <= case.device_bytes


def test_the_report_tells_held_waits_from_longer_ones_and_judges_the_targets() -> None:
    case = drawn_case("moa", 1, 150)
    longer, held = compare(case, 5.0), compare(case, 10_000.0)
    assert longer.max_wait_s > 5.0
    assert held.max_wait_s == 10_000.0
    shown = as_markdown(Report([Measured("moa", held, longer), Measured("moa", held, held)], MACHINE))
    assert "| asked maximum wait, held: 1 |" in shown
    assert "not held, the first that was: 1 |" in shown
    assert f"| load seconds / optimum | {held.to_optimum:.3f} |" in shown
    assert "longest wait less its bound, s, at most 0" in shown
    assert shown.count("holds") + shown.count("missed") == 6
