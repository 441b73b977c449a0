"""Labelled prompts: in come JSONL files (plain or .gz), out go typed rows; every bad row is named by file and line.

Also says what the user said in a chat (`user_turns`) and which of it belongs together (`last_words`).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from routers.errors import BadRow, DataError
from routers.jsonl import numbered_lines

MAX_CHARS = 4_000
SHORT_CHARS = 80
_SEPARATOR = "\n"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")  # a category stands in the headers of replies


@dataclass(frozen=True, slots=True)
class LabelledPrompt:
    """One row. `text` is what is learned from; of a chat, `turns` are what its user said.

    `labelled` tells a row without a category (False: nothing is known) from one whose category is null
    (True and `category is None`: out of scope). `outcomes` are scores in [0, 1] by expert name.
    """

    text: str
    category: str | None = None
    labelled: bool = False
    outcomes: Mapping[str, float] = field(default_factory=dict)
    answers: Mapping[str, str] = field(default_factory=dict)
    reference: str | None = None
    id: str | None = None
    turns: tuple[str, ...] = ()

    @property
    def out_of_scope(self) -> bool:
        return self.labelled and self.category is None


def clip(text: str, limit: int = MAX_CHARS) -> str:
    """`text`, or three quarters of `limit` characters from its head and the rest from its tail."""
    if len(text) <= limit:
        return text
    tail = limit // 4
    return f"{text[: limit - tail - 1]}{_SEPARATOR}{text[-tail:]}"


def user_turns(messages: Sequence[object], *, limit: int = MAX_CHARS) -> tuple[str, ...]:
    """What the user said in a chat, in order, each at most `limit` characters.

    Only text is read: strings, and content parts of type `text`. Raises ValueError where there is none.
    """
    turns = tuple(clip(text, limit) for message in messages if (text := _user_text(message)))
    if not turns:
        raise ValueError("`messages` holds no user message with text")
    return turns


def last_words(turns: Sequence[str], *, limit: int = MAX_CHARS) -> str:
    """The last of `turns`; while that is short ("and in French?") earlier ones are put before it."""
    chosen = [turns[-1]]
    for turn in reversed(turns[:-1]):
        if sum(map(len, chosen)) >= SHORT_CHARS:
            break
        chosen.insert(0, turn)
    return clip(_SEPARATOR.join(chosen), limit)


def _user_text(message: object) -> str:
    if not isinstance(message, Mapping):
        raise ValueError("a message must be an object with `role` and `content`")  # noqa: TRY004 - a fault of the data
    if message.get("role") != "user":
        return ""
    content = message.get("content")
    if isinstance(content, str):
        return content.strip()
    if content is None:
        return ""
    if not isinstance(content, list):
        raise ValueError("`content` of a user message must be a string or a list of parts")  # noqa: TRY004 - a fault of the data
    parts = [part.get("text") for part in content if isinstance(part, Mapping) and part.get("type") == "text"]
    return _SEPARATOR.join(part for part in parts if isinstance(part, str)).strip()


def read_prompts(paths: Iterable[Path]) -> list[LabelledPrompt]:
    """All rows of all files, in order; blank lines are skipped.

    Raises DataError naming every bad row, or the file that cannot be read or holds no row.
    """
    prompts: list[LabelledPrompt] = []
    bad: list[BadRow] = []
    for path in paths:
        before = len(prompts) + len(bad)
        for number, line in numbered_lines(path):
            try:
                prompts.append(parse_prompt(line))
            except ValueError as error:
                bad.append(BadRow(path, number, str(error)))
        if len(prompts) + len(bad) == before:
            bad.append(BadRow(path, 0, "holds no row"))
    if bad:
        raise DataError.in_rows(bad)
    return prompts


def parse_prompt(line: bytes) -> LabelledPrompt:
    """One row. Raises ValueError with the reason where it does not follow the format."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ValueError("a row must be a JSON object")  # noqa: TRY004 - a fault of the data
    turns = _turns(row)
    return LabelledPrompt(
        text=last_words(turns),
        turns=turns,
        category=_category(row),
        labelled="category" in row,
        outcomes=_outcomes(row),
        answers=_answers(row),
        reference=_optional_text(row, "reference"),
        id=_optional_text(row, "id"),
    )


def _turns(row: Mapping[str, object]) -> tuple[str, ...]:
    match row:
        case {"prompt": _, "messages": _}:
            raise ValueError("give `prompt` or `messages`, not both")
        case {"prompt": str(prompt)} if prompt.strip():
            return (clip(prompt.strip()),)
        case {"prompt": _}:
            raise ValueError("`prompt` must be a non-empty string")
        case {"messages": list(messages)}:
            return user_turns(messages)
        case {"messages": _}:
            raise ValueError("`messages` must be a list")
        case _:
            raise ValueError("`prompt` or `messages` is missing")


def _category(row: Mapping[str, object]) -> str | None:
    match row.get("category"):
        case None:
            return None
        case str(category) if category.strip() and not _CONTROL.search(category):
            return category
        case _:
            raise ValueError("`category` must be a non-empty string of one line, or null for out of scope")


def _outcomes(row: Mapping[str, object]) -> Mapping[str, float]:
    given = row.get("outcomes")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError("`outcomes` must be an object {expert: number in [0, 1]}")  # noqa: TRY004 - a fault of the data
    outcomes: dict[str, float] = {}
    for expert, value in given.items():
        if not isinstance(value, int | float) or not 0 <= value <= 1:
            raise ValueError(f"`outcomes` of {expert!r} must be a number in [0, 1], not {value!r}")
        outcomes[expert] = float(value)
    return outcomes


def _answers(row: Mapping[str, object]) -> Mapping[str, str]:
    given = row.get("answers")
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ValueError("`answers` must be an object {expert: text}")  # noqa: TRY004 - a fault of the data
    return {expert: answer for expert, answer in given.items() if isinstance(answer, str)}


def _optional_text(row: Mapping[str, object], key: str) -> str | None:
    value = row.get(key)
    return None if value is None else str(value)
