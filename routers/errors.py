"""Everything that `routers` raises on purpose.

RouterError
├── DataError                 labelled prompts or an experts file cannot be used
├── ArtefactError             a router directory cannot be read or written
│   ├── ArtefactVersionError  written by a newer format than this code reads
│   └── ArtefactChecksumError a file is not the one that was written
├── MapError                  no expert map can be made from what is known of the experts
│   └── BudgetError           no map fits a parameter budget
└── EncoderError              an encoder cannot be opened or does not fit the router
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

SHOWN_BAD_ROWS = 20


class RouterError(Exception):
    """Base of every error of this package."""


@dataclass(frozen=True, slots=True)
class BadRow:
    """One row that cannot be used. `line` counts from 1; 0 means the file as a whole."""

    file: Path
    line: int
    reason: str

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else str(self.file)
        return f"{place}: {self.reason}"


class DataError(RouterError):
    """The data given cannot be used. `rows` holds every bad row known; the message names the first 20."""

    def __init__(self, message: str, rows: Sequence[BadRow] = ()) -> None:
        self.rows = tuple(rows)
        lines = [message, *(f"  {row}" for row in self.rows[:SHOWN_BAD_ROWS])]
        if len(self.rows) > SHOWN_BAD_ROWS:
            lines.append(f"  and {len(self.rows) - SHOWN_BAD_ROWS} more")
        super().__init__("\n".join(lines))

    @classmethod
    def in_rows(cls, rows: Sequence[BadRow]) -> "DataError":
        """The error for rows that do not follow their format."""
        return cls(f"{len(rows)} row(s) cannot be used:", rows)


class ArtefactError(RouterError):
    """A router directory is missing, incomplete, damaged or not ours."""


class ArtefactVersionError(ArtefactError):
    """The directory was written in a format that this version does not read."""


class ArtefactChecksumError(ArtefactError):
    """A file of the directory differs from the checksum in its manifest."""


class MapError(RouterError):
    """The expert map cannot be learned or names an expert that is not known."""


class BudgetError(MapError):
    """No expert map fits the parameter budgets."""


class EncoderError(RouterError):
    """An encoder cannot be opened, or gives vectors that the router was not trained on."""
