"""The content of a checkpoint's files: paths go in, digests and a verdict on its numbers come out, once a version.

One pass over the bytes does all, about 0.8 s a gigabyte, and what it found is kept on disk. A version is told by its
files' sizes, places and times, so a check of one that is known costs microseconds.
"""

import hashlib
import logging
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path

import numpy as np
import orjson
from numpy.typing import NDArray

from workers.errors import CheckpointRefusedError
from workers.tensor_header import TensorFileError, TensorInfo, read_header

_LOG = logging.getLogger("coe.engine")
_PIECE = 2**21  # bytes; stays in a core's cache between hashing and looking
_DAMAGED = "copy or save the checkpoint again"


@dataclass(frozen=True, slots=True)
class _Floats:
    """A number is NaN or infinite where its bits without the sign are at least `limit`, as whole numbers."""

    kind: type[np.unsignedinteger]
    limit: int


_FLOATS = {
    "F64": _Floats(np.uint64, 0x7FF0_0000_0000_0000),
    "F32": _Floats(np.uint32, 0x7F80_0000),
    "F16": _Floats(np.uint16, 0x7C00),
    "BF16": _Floats(np.uint16, 0x7F80),
    "F8_E5M2": _Floats(np.uint8, 0x7C),
    "F8_E4M3": _Floats(np.uint8, 0x7F),
}


@dataclass(frozen=True, slots=True)
class Content:
    """`digest`: SHA-256 of all tensors, however they lie in files; `tensors`: of each one's bytes, by name.

    `not_finite`: one that holds NaN or infinity.
    """

    digest: str
    tensors: Mapping[str, str]
    not_finite: str | None


def version_of(files: Sequence[Path]) -> str:
    """A text that changes when one of `files` is written or exchanged. Raises `OSError`."""
    facts = [(str(file), found.st_size, found.st_mtime_ns, found.st_ino) for file in files for found in (file.stat(),)]
    return hashlib.sha256(orjson.dumps(facts)).hexdigest()


def read_content(files: Sequence[Path], cache_dir: Path) -> Content:
    """The content of `files`, from what is kept in `cache_dir` where it is known. Blocks.

    Raises `CheckpointRefusedError` where a file cannot be read, or changes while it is.
    """
    try:
        version = version_of(files)
        known = cache_dir / f"{version}.json"
        if content := _recall(known):
            return content
        content = _scan(files)
        if version_of(files) != version:
            raise CheckpointRefusedError("it was written to while it was read: try again when it is complete")
    except (OSError, TensorFileError) as error:
        raise CheckpointRefusedError(f"it cannot be read ({error}): {_DAMAGED}") from error
    write_record(known, orjson.dumps(content))
    return content


def write_record(file: Path, record: bytes) -> None:
    """Whole or not at all. A disk that is full costs only the time to find the same again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as partial:
            try:
                partial.write(record)
                partial.flush()
                Path(partial.name).replace(file)
            except BaseException:  # also a cancellation: half a record must not stay
                Path(partial.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        _LOG.warning("what was found out about a checkpoint cannot be kept (%s): it will be found out again", error)


def _recall(file: Path) -> Content | None:
    try:
        found = orjson.loads(file.read_bytes())
        tensors = {str(name): str(digest) for name, digest in found["tensors"].items()}
        return Content(digest=str(found["digest"]), tensors=tensors, not_finite=found["not_finite"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _scan(files: Sequence[Path]) -> Content:
    tensors: list[tuple[str, str, tuple[int, ...], str]] = []
    not_finite: str | None = None
    piece = np.empty(_PIECE, dtype=np.uint8)
    for file in files:
        with file.open("rb", buffering=0) as opened:
            for name, tensor in sorted(read_header(file).items(), key=lambda item: item[1].begin):
                opened.seek(tensor.begin)
                digest, finite = _read_tensor(opened, tensor, piece)
                tensors.append((name, tensor.dtype, tensor.shape, digest))
                not_finite = not_finite if finite else not_finite or name
    whole = hashlib.sha256(orjson.dumps(sorted(tensors))).hexdigest()
    return Content(whole, {name: digest for name, _, _, digest in tensors}, not_finite)


def _read_tensor(opened: RawIOBase, tensor: TensorInfo, piece: NDArray[np.uint8]) -> tuple[str, bool]:
    """The digest of a tensor's bytes, and whether all of them are numbers."""
    floats, digest, finite = _FLOATS.get(tensor.dtype), hashlib.sha256(), True
    left = tensor.end - tensor.begin
    while left:
        part = piece[: min(left, _PIECE)]
        if opened.readinto(part.data) != part.size:
            raise OSError("a file ends too early")
        digest.update(part.data)
        left -= part.size
        if floats and finite:
            without_sign = floats.kind(np.iinfo(floats.kind).max >> 1)
            finite = int(np.bitwise_and(part.view(floats.kind), without_sign).max()) < floats.limit
    return digest.hexdigest(), finite
