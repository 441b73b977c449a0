"""How large weights are on a device: the folder of a checkpoint or an adapter goes in, bytes come out."""

import math
from pathlib import Path

import orjson

from workers.adapters.check import WEIGHTS_FILE
from workers.errors import SourceNotFoundError
from workers.tensor_header import TensorFileError, read_header

_INDEX = "model.safetensors.index.json"
_FLOATS = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_LOADED_AS = {"float32": 4, "float16": 2, "bfloat16": 2}


def weight_bytes(folder: Path, dtype: str = "auto") -> int | None:
    """Bytes of the tensors in `folder`, whose plain floats are loaded as `dtype`; with `auto` as they are stored.

    Only headers are read. None where the folder holds no safetensors. Raises `SourceNotFoundError` where a file that
    the checkpoint names is missing or damaged.
    """
    total = 0
    files = _files(folder)
    for file in files:
        try:
            tensors = read_header(file)
            stored = file.stat().st_size
        except (OSError, TensorFileError) as error:
            raise SourceNotFoundError(f"`{file}` cannot be measured: {error}; get the checkpoint again") from error
        if dtype not in _LOADED_AS:
            total += stored
            continue
        narrower = (
            (_FLOATS[tensor.dtype] - _LOADED_AS[dtype]) * math.prod(tensor.shape)
            for tensor in tensors.values()
            if tensor.dtype in _FLOATS
        )
        total += stored - sum(narrower)
    return total if files else None


def _files(folder: Path) -> list[Path]:
    """A folder may hold the same weights twice, in files that its index does not name."""
    index = folder / _INDEX
    if index.is_file():
        try:
            return [folder / name for name in sorted(set(orjson.loads(index.read_bytes())["weight_map"].values()))]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SourceNotFoundError(f"`{index}` cannot be read; get the checkpoint again") from error
    return sorted(folder.glob("model*.safetensors")) or [file for file in [folder / WEIGHTS_FILE] if file.is_file()]
