"""What `coe join` refuses before it does anything."""

import pytest

from tests.cli.commands import Coe


@pytest.mark.parametrize("label", ["pool", "=cpu", "pool=", "pool=a b", "pool=a,zone=b"])
def test_a_label_is_a_key_and_a_value(coe: Coe, label: str) -> None:
    ended = coe("join", "10.0.0.5", "--label", label)
    assert (ended.code, ended.out) == (2, "")
    assert f"`{label}` is not a label: give KEY=VALUE" in ended.err


def test_a_head_is_an_address(coe: Coe) -> None:
    ended = coe("join", "10.0.0.5:many")
    assert ended.code == 2
    assert "give HOST or HOST:PORT, such as 10.0.0.5:6379" in ended.err


def test_the_help_teaches_the_command(coe: Coe) -> None:
    ended = coe("join", "--help")
    assert ended.code == 0
    assert "coe join 10.0.0.5 --label pool=gpu" in ended.out
