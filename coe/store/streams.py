"""Redis stream entries as text: the client types them as wide as any server's reply may be."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

_Stored: TypeAlias = bytes | str
_Fields: TypeAlias = dict[_Stored, _Stored]


def as_text(entries: Sequence[tuple[_Stored | None, _Fields | None]] | None) -> Iterator[tuple[str, dict[str, str]]]:
    """Id and fields of each entry of an XRANGE or XREVRANGE; those that were trimmed meanwhile are left out."""
    for entry_id, fields in entries or ():
        if entry_id is not None and fields is not None:
            yield text_of(entry_id), {text_of(name): text_of(value) for name, value in fields.items()}


def text_of(stored: bytes | str) -> str:
    """What Redis holds, as text."""
    return stored.decode() if isinstance(stored, bytes) else stored
