from pathlib import Path

import pytest

from routers.errors import DataError
from routers.mapping.experts import ExpertSize, read_experts


def test_a_number_is_active_and_total_and_a_record_tells_them_apart(tmp_path: Path) -> None:
    path = tmp_path / "experts.json"
    path.write_text(
        '{"dense": 7, "sparse": {"active_params_b": 3.5, "total_params_b": 47}, "plain": {"active_params_b": 1}}'
    )
    assert read_experts(path) == {"dense": ExpertSize(7, 7), "sparse": ExpertSize(3.5, 47), "plain": ExpertSize(1, 1)}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[]", "object"),
        ("{}", "object"),
        ('{"a": 0}', "'a'.*above 0"),
        ('{"a": true}', "'a'"),
        ('{"a": {"total_params_b": 3}}', "active_params_b"),
    ],
)
def test_a_fault_is_named(tmp_path: Path, text: str, reason: str) -> None:
    path = tmp_path / "experts.json"
    path.write_text(text)
    with pytest.raises(DataError, match=reason):
        read_experts(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.json"):
        read_experts(tmp_path / "none.json")
