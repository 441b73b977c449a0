"""What aggregators and judges are told: texts in files, with places that a request fills in.

A configuration may name files of its own; they need the same places.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from string import Template
from typing import Literal, TypeAlias

from coe.errors import InputError

PromptKind: TypeAlias = Literal["aggregate", "judge"]
PLACES: dict[PromptKind, frozenset[str]] = {
    "aggregate": frozenset({"proposals"}),
    "judge": frozenset({"question", "first", "second"}),
}


def own_prompt(kind: PromptKind) -> str:
    """The text that ships."""
    return (files(__package__) / "prompts" / f"{kind}.txt").read_text(encoding="utf-8")


def check_prompt(kind: PromptKind, text: str) -> str:
    """The text itself. Raises InputError where its places are not those that are filled in."""
    template = Template(text)
    wanted = PLACES[kind]
    if not template.is_valid() or set(template.get_identifiers()) != wanted:
        names = ", ".join(f"`${name}`" for name in sorted(wanted))
        raise InputError(f"the text must have the places {names} and no other `$`; write `$$` for a dollar sign.")
    return text


def aggregation(prompt: str, texts: Sequence[str]) -> str:
    """The aggregator's instructions, with the proposals numbered from 1."""
    numbered = "\n\n".join(f"{number}. {text.strip()}" for number, text in enumerate(texts, 1))
    return Template(prompt).substitute(proposals=numbered).strip()


def judgement(prompt: str, question: str, first: str, second: str) -> str:
    return Template(prompt).substitute(question=question, first=first, second=second).strip()
