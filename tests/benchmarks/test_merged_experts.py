"""Which experts are made of the adapters that ship, and when they are made again."""

from pathlib import Path

import pytest

from benchmarks import merged_experts
from benchmarks.merged_experts import MOST
from tests.workers.weights.checkpoint_files import cut_off, write_checkpoint


@pytest.fixture
def merges(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[tuple[str, float]]:
    """Those that were asked for; a small checkpoint stands in for each."""
    made: list[tuple[str, float]] = []

    def merge(_: Path, adapter: Path, scale: float, target: Path) -> None:
        made.append((adapter.name, scale))
        write_checkpoint(target)

    monkeypatch.setattr(merged_experts, "_merge", merge)
    monkeypatch.setattr(merged_experts, "base_directory", lambda _: tmp_path / "models" / "base")
    (tmp_path / "models").mkdir()
    return made


def test_every_expert_is_another_adapter_or_another_scale(merges: list[tuple[str, float]], tmp_path: Path) -> None:
    experts = merged_experts.merged_experts(MOST, tmp_path)
    assert len({expert.directory for expert in experts}) == len({expert.name for expert in experts}) == MOST
    assert len(set(merges)) == MOST
    assert [expert.name for expert in experts[:5]] == [
        "arithmetic-1",
        "extraction-1",
        "python-1",
        "sql-1",
        "arithmetic-0.75",
    ]


def test_only_those_that_are_not_whole_are_made_again(merges: list[tuple[str, float]], tmp_path: Path) -> None:
    first, second = merged_experts.merged_experts(2, tmp_path)
    cut_off(second.directory, 5)
    merges.clear()
    assert merged_experts.merged_experts(2, tmp_path) == [first, second]
    assert merges == [("extraction", 1.0)]
    assert not list((tmp_path / "models").glob(".*"))
