"""The digest of a checkpoint's numbers, and whether all of them are numbers."""

import os
from pathlib import Path

import pytest

from tests.workers.weights.checkpoint_files import SHAPES, WEIGHTS, poison, write_checkpoint
from workers.errors import CheckpointRefusedError
from workers.weights.checkpoint import read_checkpoint
from workers.weights.content import Content, read_content, version_of

LAST = "model.norm.weight"


def content(folder: Path, cache: Path) -> Content:
    return read_content(read_checkpoint(folder).files, cache)


@pytest.mark.parametrize(
    ("dtype", "bits", "number"),
    [
        ("BF16", b"\xc0\x7f", False),  # NaN
        ("BF16", b"\x80\xff", False),  # minus infinity
        ("BF16", b"\x7f\xff", True),  # the smallest number
        ("F16", b"\x00\x7c", False),
        ("F16", b"\xff\xfb", True),
        ("F32", b"\x01\x00\x80\x7f", False),
        ("F32", b"\xff\xff\x7f\x7f", True),
        ("I8", b"\xff", True),
    ],
)
def test_what_is_no_number_is_found(tmp_path: Path, dtype: str, bits: bytes, number: bool) -> None:
    folder = write_checkpoint(tmp_path / "c", dtype=dtype)
    poison(folder, bits)
    assert content(folder, tmp_path / "cache").not_finite == (None if number else LAST)


def test_the_digest_is_of_the_numbers_and_not_of_how_they_lie_in_files(tmp_path: Path) -> None:
    one = content(write_checkpoint(tmp_path / "one"), tmp_path / "cache")
    assert content(write_checkpoint(tmp_path / "sharded", files=3), tmp_path / "cache").digest == one.digest
    assert content(write_checkpoint(tmp_path / "other", seed=1), tmp_path / "cache").digest != one.digest


def test_every_tensor_has_a_digest_that_tells_where_two_checkpoints_differ(tmp_path: Path) -> None:
    one = content(write_checkpoint(tmp_path / "one"), tmp_path / "cache").tensors
    sharded = content(write_checkpoint(tmp_path / "sharded", files=3), tmp_path / "cache").tensors
    assert one == sharded
    assert one.keys() == SHAPES.keys()
    poison(write_checkpoint(tmp_path / "other"), b"\x01\x00")
    other = content(tmp_path / "other", tmp_path / "cache").tensors
    assert {name for name in one if one[name] != other[name]} == {LAST}


def test_a_version_that_is_known_is_not_read_again(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c")
    first, file = content(folder, tmp_path / "cache"), folder / WEIGHTS
    before = file.stat()
    poison(folder, b"\xc0\x7f")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert content(folder, tmp_path / "cache") == first  # told by time, size and place alone
    os.utime(file)
    assert content(folder, tmp_path / "cache").not_finite == LAST


def test_a_record_that_is_torn_is_made_again(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c")
    first = content(folder, tmp_path / "cache")
    [record] = (tmp_path / "cache").iterdir()
    record.write_bytes(record.read_bytes()[:9])
    assert content(folder, tmp_path / "cache") == first
    record.write_text('{"digest": "d", "not_finite": null, "tensors": []}')
    assert content(folder, tmp_path / "cache") == first


def test_a_cache_that_cannot_be_written_costs_only_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("a file in its place")
    assert content(write_checkpoint(tmp_path / "c"), tmp_path / "cache").not_finite is None
    assert "cannot be kept" in caplog.text


def test_a_file_that_goes_away_is_refused(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c")
    files = read_checkpoint(folder).files
    (folder / WEIGHTS).unlink()
    with pytest.raises(CheckpointRefusedError, match="cannot be read"):
        read_content(files, tmp_path / "cache")


def test_a_file_written_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_checkpoint(tmp_path / "c")
    versions = iter(["before", "after"])
    monkeypatch.setattr("workers.weights.content.version_of", lambda _: next(versions))
    with pytest.raises(CheckpointRefusedError, match="written to while it was read"):
        content(folder, tmp_path / "cache")


def test_every_write_makes_another_version(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c")
    files = read_checkpoint(folder).files
    first = version_of(files)
    os.utime(files[0], ns=(1, 1))
    assert version_of(files) != first
