"""A checkpoint in host memory: its files go in, its tensors in the files' order come out.

Imported in an engine's process alone. The bytes are read, not mapped: what is held cannot be taken back by the kernel,
and a file that is cut off later cannot end the process.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from workers.tensor_header import TensorFileError, TensorInfo, read_header
from workers.weights.pinned import HostMemory

_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}


class HostCopy:
    """All tensors of a checkpoint, in one block of memory a file.

    Raises `OSError` or `TensorFileError` where a file is not whole, `MemoryError` where there is no room.
    """

    def __init__(self, files: Sequence[Path], *, pin: bool) -> None:
        self._blocks: list[tuple[HostMemory, dict[str, TensorInfo], int]] = []
        try:
            for file in files:
                self._blocks.append(_read(file, pin=pin))
        except BaseException:  # whatever it is, pinned memory is not given back by itself
            self.free()
            raise

    @property
    def nbytes(self) -> int:
        return sum(memory.nbytes for memory, _, _ in self._blocks)

    @property
    def pinned(self) -> bool:
        return all(memory.pinned for memory, _, _ in self._blocks)

    def tensors(self) -> Iterator[tuple[str, torch.Tensor]]:
        """Views into the copy, in the order in which they lie there; a layer's tensors stand together."""
        for memory, header, data in self._blocks:
            for name, info in sorted(header.items(), key=lambda item: item[1].begin):
                raw = memory.block[info.begin - data : info.end - data]
                yield name, _typed(raw, info)

    def free(self) -> None:
        """Give the memory back; views must not be used any more."""
        for memory, _, _ in self._blocks:
            memory.free()
        self._blocks.clear()


def _read(file: Path, *, pin: bool) -> tuple[HostMemory, dict[str, TensorInfo], int]:
    header = read_header(file)
    for name, info in header.items():
        if info.dtype not in _DTYPES:
            raise TensorFileError(f"tensor `{name}` is of type {info.dtype}, which is not replaced in place")
    size = file.stat().st_size
    data = min((info.begin for info in header.values()), default=size)
    memory = HostMemory(size - data, pin=pin)
    try:
        with file.open("rb", buffering=0) as opened:
            opened.seek(data)
            memory.fill(opened)
    except BaseException:  # whatever it is, pinned memory is not given back by itself
        memory.free()
        raise
    return memory, header, data


def _typed(raw: torch.Tensor, info: TensorInfo) -> torch.Tensor:
    dtype = _DTYPES[info.dtype]
    if raw.storage_offset() % dtype.itemsize:
        raw = raw.clone()  # the format does not promise that tensors are aligned
    return raw.view(dtype).view(info.shape)
