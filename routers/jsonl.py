"""Files of JSON lines, plain or .gz: in comes a path, out go its numbered lines."""

import gzip
import zlib
from collections.abc import Iterator
from pathlib import Path

from routers.errors import BadRow, DataError


def numbered_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """The lines that are not blank; every line is counted, from 1. Raises DataError where `path` cannot be read."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise DataError("A file of rows cannot be read:", [BadRow(path, 0, reason)]) from error
