"""The header of a safetensors file: a path goes in, the names, types and shapes of its tensors come out.

No tensor is read. That the file is whole is proved by the header: its tensors lie end to end and fill the file.
"""

import math
from dataclasses import dataclass
from pathlib import Path

import orjson

_LENGTH_BYTES = 8
_LONGEST_HEADER = 100_000_000  # bytes; the format's own limit
_BITS = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 64),
    **dict.fromkeys(("F32", "I32", "U32"), 32),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 16),
    **dict.fromkeys(("I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"), 8),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    "F4": 4,
}


class TensorFileError(ValueError):
    """The file is no whole safetensors file; the message says why, without naming the file."""


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """`dtype` as safetensors names it (`BF16`), `shape` as saved: a linear layer's weight is (outputs, inputs).

    Its bytes are those from `begin` to before `end`, counted from the start of the file.
    """

    dtype: str
    shape: tuple[int, ...]
    begin: int
    end: int


def read_header(file: Path) -> dict[str, TensorInfo]:
    """The tensors of `file` by name. Raises `TensorFileError` where it is torn, and `OSError`."""
    size = file.stat().st_size
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(_LENGTH_BYTES), "little")
        if size < _LENGTH_BYTES or length > min(_LONGEST_HEADER, size - _LENGTH_BYTES):
            raise TensorFileError(f"its {size} bytes do not hold the header that it announces")
        raw = opened.read(length)
    try:
        entries = orjson.loads(raw.rstrip(b" "))
        entries.pop("__metadata__", None)
        data = _LENGTH_BYTES + length
        tensors = {name: _tensor(entry, data) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise TensorFileError("its header cannot be read") from error
    _refuse_gaps(sorted((tensor.begin - data, tensor.end - data) for tensor in tensors.values()), size - data)
    for name, tensor in tensors.items():
        bits = _BITS.get(tensor.dtype)
        if bits is not None and (tensor.end - tensor.begin) * 8 != math.prod(tensor.shape) * bits:
            raise TensorFileError(f"tensor `{name}` does not have the bytes that its shape {list(tensor.shape)} needs")
    return tensors


def _tensor(entry: dict[str, object], data: int) -> TensorInfo:
    dtype, shape, span = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or not isinstance(shape, list) or not isinstance(span, list):
        raise TypeError(entry)
    if not all(isinstance(length, int) and length >= 0 for length in shape):
        raise TypeError(entry)
    begin, end = span
    if not isinstance(begin, int) or not isinstance(end, int):
        raise TypeError(entry)
    return TensorInfo(dtype, tuple(shape), data + begin, data + end)


def _refuse_gaps(spans: list[tuple[int, int]], stored: int) -> None:
    end = 0
    for begin, after in spans:
        if begin != end or after < begin:
            raise TensorFileError("its tensors overlap or leave gaps")
        end = after
    if end != stored:
        raise TensorFileError(f"it holds {stored} bytes of tensors where its header announces {end}")
