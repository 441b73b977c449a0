"""Sizes of weights, out of headers."""

from collections.abc import Mapping
from pathlib import Path

import orjson
import pytest

from workers.errors import SourceNotFoundError
from workers.placement.sizes import weight_bytes


def write_tensors(file: Path, tensors: Mapping[str, tuple[str, int]]) -> None:
    """A safetensors file of zeros: by name, the type and how many."""
    widths = {"F32": 4, "BF16": 2, "U8": 1}
    header, end = {}, 0
    for name, (dtype, count) in tensors.items():
        begin, end = end, end + widths[dtype] * count
        header[name] = {"dtype": dtype, "shape": [count], "data_offsets": [begin, end]}
    raw = orjson.dumps(header)
    file.write_bytes(len(raw).to_bytes(8, "little") + raw + bytes(end))


def size_of(folder: Path, dtype: str = "auto") -> int:
    """Without the bytes of headers, a few hundred at most."""
    found = weight_bytes(folder, dtype)
    assert found is not None
    return found // 1000 * 1000


@pytest.mark.parametrize(("dtype", "expected"), [("auto", 49_000), ("float32", 49_000), ("bfloat16", 29_000)])
def test_floats_are_as_wide_as_they_are_loaded_and_packed_weights_as_they_are(
    tmp_path: Path, dtype: str, expected: int
) -> None:
    write_tensors(tmp_path / "model.safetensors", {"a": ("F32", 10_000), "packed": ("U8", 9_000)})
    assert size_of(tmp_path, dtype) == expected


def test_what_the_index_names_counts_once_beside_a_second_form_of_the_same_weights(tmp_path: Path) -> None:
    for name in ("model-1.safetensors", "model-2.safetensors", "model-old.safetensors", "consolidated.safetensors"):
        write_tensors(tmp_path / name, {name: ("BF16", 10_000)})
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-2.safetensors"}}
    (tmp_path / "model.safetensors.index.json").write_bytes(orjson.dumps(index))
    assert size_of(tmp_path) == 40_000


def test_an_adapter_is_measured_too(tmp_path: Path) -> None:
    write_tensors(tmp_path / "adapter_model.safetensors", {"a": ("BF16", 10_000)})
    assert size_of(tmp_path) == 20_000


def test_a_folder_without_safetensors_has_no_known_size(tmp_path: Path) -> None:
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    assert weight_bytes(tmp_path) is None


def test_a_torn_file_is_named(tmp_path: Path) -> None:
    write_tensors(tmp_path / "model.safetensors", {"a": ("BF16", 10_000)})
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[:-1])
    with pytest.raises(SourceNotFoundError, match=r"model\.safetensors` cannot be measured.*get the checkpoint again"):
        weight_bytes(tmp_path)
