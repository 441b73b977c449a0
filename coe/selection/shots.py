"""Labelled examples of one task: a JSONL file (or .gz) comes in, out come typed shots; bad rows are named by line.

A row is `{"prompt": str}` or `{"messages": [...]}`, with `"completion"` (the reference reasoning and answer) and
optionally `"reference"` (the short final answer; without it the completion is the answer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StrictStr, ValidationError

from coe.messages import Message
from coe.selection.checks import Check, final_answer
from routers.errors import BadRow, DataError
from routers.jsonl import numbered_lines

MIN_SHOTS = 2


@dataclass(frozen=True, slots=True)
class Shot:
    """One example. `completion` has no blanks around it; `reference` is what an answer is checked against."""

    messages: tuple[Message, ...]
    completion: str
    reference: str


class _MessageRow(BaseModel):
    role: Literal["system", "developer", "user", "assistant"]
    content: StrictStr


class _Row(BaseModel):
    prompt: StrictStr | None = None
    messages: Annotated[list[_MessageRow], Field(min_length=1)] | None = None
    completion: StrictStr
    reference: StrictStr | int | float | None = None


def read_shots(path: Path, check: Check) -> list[Shot]:
    """The rows of `path` in order; blank lines are skipped.

    Raises:
        DataError: the file cannot be read, a row breaks the format or holds no answer that `check` can read, there are
            fewer than two rows, or all have the same answer.
    """
    shots: list[Shot] = []
    bad: list[BadRow] = []
    for number, line in numbered_lines(path):
        try:
            shots.append(parse_shot(line, check))
        except ValueError as error:
            bad.append(BadRow(path, number, str(error)))
    if bad:
        raise DataError.in_rows(bad)
    if len(shots) < MIN_SHOTS:
        raise DataError(f"{path} holds {len(shots)} example(s); give at least {MIN_SHOTS}, better 50.")
    if len({final_answer(check, shot.reference) for shot in shots}) == 1:
        raise DataError(f"Every row of {path} has the same answer, which needs no expert; add rows with other answers.")
    return shots


def parse_shot(line: bytes, check: Check) -> Shot:
    """One row. Raises ValueError with the reason where it does not follow the format."""
    try:
        row = _Row.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(map(str, first["loc"][:1]))
        raise ValueError(f"`{field}`: {first['msg']}" if field else first["msg"]) from error
    completion = row.completion.strip()
    if not completion:
        raise ValueError("`completion` must hold text")
    reference = completion if row.reference is None else str(row.reference).strip()
    if not final_answer(check, reference):
        name = "completion" if row.reference is None else "reference"
        raise ValueError(f"`{name}` holds no answer that the check `{check}` can read")
    return Shot(_messages(row), completion, reference)


def _messages(row: _Row) -> tuple[Message, ...]:
    if (row.prompt is None) == (row.messages is None):
        raise ValueError("give exactly one of `prompt` and `messages`")
    if row.prompt is not None:
        if not row.prompt.strip():
            raise ValueError("`prompt` must hold text")
        return (Message("user", row.prompt),)
    messages: Sequence[_MessageRow] = row.messages or ()
    if messages[-1].role != "user":
        raise ValueError("`messages` must end with the user's; what is answered belongs in `completion`")
    return tuple(Message(message.role, message.content) for message in messages)
