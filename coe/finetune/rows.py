"""Chat rows to learn from: in come JSONL files (plain or .gz), out go typed rows; bad ones are named by file and line.

    {"prompt": "…", "completion": "…"}
    {"messages": [{"role": "user", "content": "…"}, …, {"role": "assistant", "content": "…"}]}

The completion, or the last message, is what the model learns to say; everything before it is given. Other keys are
left alone, so that labelled prompts with a completion serve as they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from coe.messages import Message
from routers.errors import BadRow, DataError
from routers.jsonl import numbered_lines

ROLES = ("system", "user", "assistant")


@dataclass(frozen=True, slots=True)
class ChatRow:
    """`messages` are given, `completion` is learnt. `file` and `line` (from 1) tell where it was read."""

    messages: tuple[Message, ...]
    completion: str
    file: Path
    line: int

    def bad(self, reason: str) -> BadRow:
        return BadRow(self.file, self.line, reason)


def read_rows(paths: Iterable[Path], system: str | None = None) -> list[ChatRow]:
    """All rows of all files, in order. `system` is put before those that have no system message.

    Raises:
        DataError: names every bad row, or the file that cannot be read or holds no row.
    """
    rows: list[ChatRow] = []
    bad: list[BadRow] = []
    for path in paths:
        before = len(rows) + len(bad)
        for number, line in numbered_lines(path):
            try:
                messages, completion = _parse(line)
            except ValueError as error:
                bad.append(BadRow(path, number, str(error)))
                continue
            if system and messages[0].role != "system":
                messages = (Message("system", system), *messages)
            rows.append(ChatRow(messages, completion, path, number))
        if len(rows) + len(bad) == before:
            bad.append(BadRow(path, 0, "holds no row"))
    if bad:
        raise DataError.in_rows(bad)
    return rows


def fingerprint(rows: Sequence[ChatRow]) -> str:
    """SHA-256 of what is learnt from `rows`, in hexadecimal; their order counts, their files do not."""
    digest = hashlib.sha256()
    for row in rows:
        turns = [(message.role, message.content) for message in row.messages]
        digest.update(orjson.dumps([turns, row.completion]))
    return digest.hexdigest()


def _parse(line: bytes) -> tuple[tuple[Message, ...], str]:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    match row:
        case {"messages": _, "prompt": _} | {"messages": _, "completion": _}:
            raise ValueError("give `messages`, or `prompt` and `completion`, not both")
        case {"prompt": str(prompt), "completion": str(completion)}:
            if not prompt.strip():
                raise ValueError("`prompt` is empty")
            messages: tuple[Message, ...] = (Message("user", prompt),)
        case {"prompt": _, "completion": _}:
            raise ValueError("`prompt` and `completion` must be strings")
        case {"messages": list(turns)}:
            *given, last = _messages(turns)
            if last.role != "assistant":
                raise ValueError(f"the last message must be the assistant's, which is learnt; it is the {last.role}'s")
            messages, completion = tuple(given), last.content
        case dict():
            raise ValueError("`messages`, or `prompt` and `completion`, are missing")
        case _:
            raise ValueError("a row must be a JSON object")
    if not completion.strip():
        raise ValueError("the completion is empty: there is nothing to learn")
    return messages, completion


def _messages(turns: list[object]) -> list[Message]:
    if len(turns) < 2:
        raise ValueError("`messages` needs a user's and an assistant's message")
    messages = []
    for number, turn in enumerate(turns, start=1):
        match turn:
            case {"role": str(role), "content": str(content)} if role in ROLES:
                messages.append(Message(role, content))
            case {"role": str(role)} if role not in ROLES:
                raise ValueError(f"message {number} has the role {role!r}; known: {', '.join(ROLES)}")
            case _:
                raise ValueError(f"message {number} must be an object with `role` and a text `content`")
    if not any(message.role == "user" for message in messages[:-1]):
        raise ValueError("`messages` has no user's message before the last one")
    return messages
