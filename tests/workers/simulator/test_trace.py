from pathlib import Path

import pytest

from workers.errors import SimulationError
from workers.simulator.generators import KINDS, TraceSpec, make_experts, make_trace
from workers.simulator.trace import Request, read_experts, read_trace, write_experts, write_trace

EXPERTS = '{"a": {"size_gb": 1, "load_s": {"host": 0.5, "disk": 2}}}'


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["trace.jsonl", "trace.jsonl.gz"])
def test_what_is_made_comes_back_as_it_was_written(tmp_path: Path, name: str, kind: str) -> None:
    experts = make_experts(20, seed=3)
    trace = make_trace(kind, list(experts), TraceSpec(requests=50), seed=3)  # type: ignore[arg-type]  # a kind
    write_experts(tmp_path / "experts.json", experts)
    write_trace(tmp_path / name, trace)
    read = read_experts(tmp_path / "experts.json")
    assert read == experts
    assert read_trace(tmp_path / name, read) == trace
    assert trace == make_trace(kind, list(experts), TraceSpec(requests=50), seed=3)  # type: ignore[arg-type]  # a kind
    assert trace == sorted(trace, key=lambda one: one.t)


def test_merging_experts_are_announced_with_their_prompt(tmp_path: Path) -> None:
    experts, spec = make_experts(20, seed=3), TraceSpec(requests=30, fan_out=2, merge_after_s=7.0)
    trace = make_trace("moa", list(experts), spec, seed=3)
    write_trace(tmp_path / "t.jsonl", trace)
    assert read_trace(tmp_path / "t.jsonl", experts) == trace == sorted(trace, key=lambda one: one.t)
    merges = [one for one in trace if one.announced is not None]
    assert [one.t - (one.announced or 0.0) for one in merges] == pytest.approx([7.0] * 15)
    assert {one.announced for one in merges} == {one.t for one in trace if one.announced is None}


def test_rows_may_come_in_any_order(tmp_path: Path) -> None:
    experts, trace = tmp_path / "e.json", tmp_path / "t.jsonl"
    experts.write_text(EXPERTS)
    trace.write_text('{"t": 2, "expert": "a", "service_s": 1}\n\n{"t": 1, "expert": "a", "service_s": 0}\n')
    assert read_trace(trace, read_experts(experts)) == [Request(1.0, "a", 0.0), Request(2.0, "a", 1.0)]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"t": -1, "expert": "a", "service_s": 1}', "`t` must be at least 0 and finite, not -1"),
        ('{"t": NaN, "expert": "a", "service_s": 1}', "is not JSON"),
        ('{"t": 1e999, "expert": "a", "service_s": 1}', "is not JSON|finite"),
        ('{"t": "1", "expert": "a", "service_s": 1}', "`t` must be a number, not '1'"),
        ('{"t": true, "expert": "a", "service_s": 1}', "`t` must be a number"),
        ('{"t": 1, "expert": "a", "service_s": 1, "announced": 2}', "`announced` is 2, after `t`, which is 1"),
        ('{"t": 1, "expert": "a", "service_s": 1, "announced": null}', "`announced` must be a number"),
        ('{"t": 1, "expert": "a"}', "`service_s` must be a number, not missing"),
        ('{"t": 1, "expert": "z", "service_s": 1}', "has no expert 'z'"),
        ('{"t": 1, "expert": 3, "service_s": 1}', "`expert` must be a name"),
        ("[1]", "is not an object"),
        ("{", "is not JSON"),
    ],
)
def test_a_bad_row_is_named_by_line_and_reason(tmp_path: Path, row: str, reason: str) -> None:
    experts, trace = tmp_path / "e.json", tmp_path / "t.jsonl"
    experts.write_text(EXPERTS)
    trace.write_text('{"t": 0, "expert": "a", "service_s": 1}\n' + row + "\n")
    with pytest.raises(SimulationError, match=f"line 2: .*({reason})"):
        read_trace(trace, read_experts(experts))


def test_many_bad_rows_are_told_in_short(tmp_path: Path) -> None:
    experts, trace = tmp_path / "e.json", tmp_path / "t.jsonl"
    experts.write_text(EXPERTS)
    trace.write_text("{}\n" * 9)
    with pytest.raises(SimulationError, match=r"line 5.*\n.*and 4 more"):
        read_trace(trace, read_experts(experts))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON"),
        ("{}", "at least one entry"),
        ("[]", "one JSON object"),
        ('{"a": 1}', "expert 'a': must be an object"),
        ('{"a": {"size_gb": 0, "load_s": {"host": 1, "disk": 2}}}', "expert 'a': `size_gb` must be above 0"),
        ('{"a": {"size_gb": 1, "load_s": {"host": 1}}}', "expert 'a': `disk` must be a number, not missing"),
        ('{"a": {"size_gb": 1, "load_s": {"host": 3, "disk": 2}}}', "expert 'a': `load_s.disk` is below"),
    ],
)
def test_bad_experts_are_named(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(SimulationError, match=reason):
        read_experts(tmp_path / "e.json")


def test_files_that_are_not_there_empty_or_torn_are_refused(tmp_path: Path) -> None:
    (tmp_path / "e.json").write_text(EXPERTS)
    experts = read_experts(tmp_path / "e.json")
    with pytest.raises(SimulationError, match="cannot be read: No such file"):
        read_trace(tmp_path / "none.jsonl", experts)
    (tmp_path / "empty.jsonl").write_text("\n")
    with pytest.raises(SimulationError, match="holds no request"):
        read_trace(tmp_path / "empty.jsonl", experts)
    (tmp_path / "torn.jsonl.gz").write_bytes(b"\x1f\x8b\x08\x00")
    with pytest.raises(SimulationError, match="cannot be read"):
        read_trace(tmp_path / "torn.jsonl.gz", experts)
