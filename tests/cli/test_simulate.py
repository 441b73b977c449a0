"""`coe simulate` and `coe make-trace`, as the console script runs them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.commands import Finished, run

EXPERTS = {name: {"size_gb": 1, "load_s": {"host": 0.5, "disk": 2}} for name in "abc"}


@pytest.fixture
def experts(tmp_path: Path) -> Path:
    path = tmp_path / "experts.json"
    path.write_text(json.dumps(EXPERTS))
    return path


def trace_of(tmp_path: Path, *rows: tuple[float, str, float]) -> Path:
    path = tmp_path / "trace.jsonl"
    path.write_text("".join(json.dumps({"t": t, "expert": name, "service_s": s}) + "\n" for t, name, s in rows))
    return path


def simulate(trace: Path, experts: Path, *more: str, device: str = "1", host: str = "3") -> Finished:
    return run("simulate", str(trace), "--experts", str(experts), "--device-gb", device, "--host-gb", host, *more)


def test_the_json_has_the_keys_that_programs_read(tmp_path: Path, experts: Path) -> None:
    trace = trace_of(tmp_path, (0, "a", 1), (0.5, "b", 1), (1, "a", 1), (1.5, "b", 1))
    done = simulate(trace, experts, "--max-wait", "20", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert set(found) == {"policies", "optimum", "max_wait_s"}
    assert set(found["policies"]) == {"default", "fcfs-lru"}
    for figures in found["policies"].values():
        assert set(figures) == {"loads", "load_seconds", "makespan_s", "wait_s"}
        assert set(figures["wait_s"]) == {"mean", "p50", "p95", "p99", "max"}
    assert found["max_wait_s"] == 20
    assert found["optimum"] == {"load_seconds": 1.0, "kind": "exact"}
    default, baseline = found["policies"]["default"], found["policies"]["fcfs-lru"]
    assert default["loads"] == 2
    assert default["load_seconds"] == 1.0
    assert default["wait_s"]["max"] <= 20
    assert (baseline["loads"], baseline["load_seconds"]) == (4, 5.0)


def test_other_policies_are_shown_where_they_are_asked_for(tmp_path: Path, experts: Path) -> None:
    trace = trace_of(tmp_path, (0, "a", 1), (0.5, "b", 1))
    done = simulate(trace, experts, "--policy", "worker", "--policy", "default", "--json")
    assert list(json.loads(done.out)["policies"]) == ["default", "fcfs-lru", "worker"]
    unknown = simulate(trace, experts, "--policy", "best")
    assert (unknown.code, unknown.out) == (2, "")
    assert "no policy 'best': choose among default, fcfs-lru, worker" in unknown.err


def test_a_maximum_wait_that_cannot_be_held_is_replaced_and_said(tmp_path: Path, experts: Path) -> None:
    trace = trace_of(tmp_path, *((0, name, 10) for name in "abcabc"))
    done = simulate(trace, experts, "--max-wait", "5", "--json")
    found = json.loads(done.out)
    assert found["max_wait_s"] > 5
    assert found["policies"]["default"]["wait_s"]["max"] <= found["max_wait_s"]
    assert "A maximum wait of 5 s cannot be held" in done.err


def test_a_person_gets_a_table(tmp_path: Path, experts: Path) -> None:
    trace = trace_of(tmp_path, (0, "a", 1), (0.5, "b", 1))
    done = simulate(trace, experts)
    assert done.code == 0
    for shown in ("default", "fcfs-lru", "optimum", "makespan", "p99"):
        assert shown in done.out
    assert "No --max-wait: 60 s is proposed" in done.err


def test_settings_are_proposed_with_their_figures(tmp_path: Path) -> None:
    trace, experts = tmp_path / "t.jsonl.gz", tmp_path / "e.json"
    made = run("make-trace", "bursts", str(trace), "--experts", str(experts), "--count", "12", "--requests", "300")
    assert made.code == 0
    done = simulate(trace, experts, "--propose", device="40", host="300")
    assert done.code == 0
    for shown in ("Proposed: maximum wait", "quantum", "device GB", "host GB"):
        assert shown in done.out


@pytest.mark.parametrize("name", ["plot.svg", "plot.png"])
def test_a_plot_is_drawn(tmp_path: Path, experts: Path, name: str) -> None:
    trace = trace_of(tmp_path, (0, "a", 1), (0.5, "b", 1))
    assert simulate(trace, experts, "--plot", str(tmp_path / name)).code == 0
    assert (tmp_path / name).stat().st_size > 1000
    refused = simulate(trace, experts, "--plot", str(tmp_path / "plot.txt"))
    assert refused.code == 2
    assert ".svg or .png" in refused.err


def test_the_same_seed_makes_the_same_trace_for_known_experts(tmp_path: Path, experts: Path) -> None:
    first, second, other = (tmp_path / f"{number}.jsonl" for number in range(3))
    for path, seed in ((first, "1"), (second, "1"), (other, "2")):
        made = run("make-trace", "zipf", str(path), "--experts", str(experts), "--requests", "40", "--seed", seed)
        assert made.code == 0
    assert first.read_bytes() == second.read_bytes() != other.read_bytes()
    assert json.loads(experts.read_text()) == EXPERTS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max-wait", "0"), "--max-wait must be above 0"),
        (("--max-wait", "nan"), "--max-wait must be above 0"),
        (("--device-gb", "0.5"), "takes 1 GB, the device has 0.5 GB"),
        (("--host-gb", "inf"), "--host-gb must be at least 0 and finite"),
    ],
)
def test_wrong_options_are_bad_input(tmp_path: Path, experts: Path, arguments: tuple[str, str], message: str) -> None:
    done = simulate(trace_of(tmp_path, (0, "a", 1)), experts, *arguments)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"t": 0, "expert": "z", "service_s": 1}', "line 1: the experts file has no expert 'z'"),
        ('{"t": -3, "expert": "a", "service_s": 1}', "line 1: `t` must be at least 0"),
        ("", "holds no request"),
    ],
)
def test_wrong_traces_are_bad_input(tmp_path: Path, experts: Path, text: str, message: str) -> None:
    (tmp_path / "trace.jsonl").write_text(text)
    done = simulate(tmp_path / "trace.jsonl", experts)
    assert (done.code, done.out) == (2, "")
    assert message in done.err


def test_wrong_wishes_for_a_trace_are_bad_input(tmp_path: Path, experts: Path) -> None:
    trace = str(tmp_path / "t.jsonl")
    for more, message in (
        (("--rate", "0"), "--rate must be above 0"),
        (("--exponent", "-1"), "--exponent must be at least 0"),
        (("--fan-out", "9"), "a prompt asks 9 experts (--fan-out, --merge-after), but there are 3"),
        (("--merge-after", "1"), "a prompt asks 4 experts"),
        (("--merge-after", "-1"), "--merge-after must be at least 0"),
    ):
        done = run("make-trace", "moa", trace, "--experts", str(experts), *more)
        assert done.code == 2
        assert message in done.err
    nowhere = run("make-trace", "zipf", str(tmp_path / "no" / "t.jsonl"), "--experts", str(experts))
    assert nowhere.code == 2
    assert "cannot be written" in nowhere.err
