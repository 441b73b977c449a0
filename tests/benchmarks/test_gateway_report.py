"""From rounds of load to the published figures."""

from dataclasses import replace

from benchmarks.gateway_report import Round, as_json, as_markdown, report
from benchmarks.load import Result
from benchmarks.machine import Machine

MACHINE = Machine("Some CPU", 2, 24.0, "3.11.7", {"coe": "0.1.0"}, 0.02)
BARE = Result(1000, 10_000.0, 0.1, 0.2, 0.1, 2.0, 0.3, 0)


def rounds(p50_ms: float, per_s: float, first_token_ms: float, gap_ms: float) -> list[Round]:
    one = replace(BARE, p50_ms=p50_ms)
    many = replace(BARE, per_s=per_s)
    stream = replace(BARE, first_token_p50_ms=first_token_ms, token_gap_p50_ms=gap_ms)
    return [Round(one, many, stream)] * 3


def test_a_service_is_charged_what_it_adds_to_the_stub() -> None:
    measured = {
        "direct": [Round(BARE, BARE, BARE)] * 3,
        "coe": rounds(2.1, 900, 3.1, 2.01),
        "litellm": rounds(20.1, 60, 30, 2),
    }
    found = report(MACHINE, "1.2.3", measured)
    coe = found.figures["coe"]
    assert (round(coe.added_p50_ms, 6), round(coe.added_first_token_ms, 6)) == (2.0, 3.0)
    assert [goal.holds for goal in found.goals] == [True] * 5
    assert "| LiteLLM 1.2.3 | 20.10 |" in as_markdown(found)
    assert '"requests_per_s": 900' in as_json(found)


def test_a_missed_target_is_said() -> None:
    slow = {
        "direct": [Round(BARE, BARE, BARE)] * 3,
        "coe": rounds(5.1, 100, 9.1, 2.5),
        "litellm": rounds(20.1, 60, 30, 2),
    }
    assert as_markdown(report(replace(MACHINE, busy_before=0.9), "1", slow)).count("**missed**") == 5


def test_a_busy_machine_is_said() -> None:
    bare = {name: [Round(BARE, BARE, BARE)] for name in ("direct", "coe")} | {"litellm": rounds(20.1, 60, 30, 2)[:1]}
    assert "Others took 90%" in as_markdown(report(replace(MACHINE, busy_before=0.9), "1", bare))
    assert "Others took" not in as_markdown(report(MACHINE, "1", bare))
