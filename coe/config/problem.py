"""A mistake in a configuration, with its place."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from coe.config.source import Location


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake: the key it is at, and what is wrong with the remedy."""

    location: Location
    message: str

    def __str__(self) -> str:
        key = ".".join(str(part) for part in self.location)
        return f"{key}: {self.message}" if key else self.message


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The message about a name that leads nowhere."""
    return f"there is no {kind} `{name}`; known: {', '.join(known)}."
