"""Is an answer right? Text goes in, the final answer comes out in a canonical form, and a verdict."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from decimal import Decimal
from typing import Literal, TypeAlias, assert_never

Check: TypeAlias = Literal["exact", "contains", "number", "json"]
"""`exact`: the texts are equal but for case, blanks and closing punctuation. `contains`: the reference stands in the
answer as whole words. `number`: the last numbers are equal. `json`: the first JSON values are equal."""

_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:,\d{3}(?!\d))*(?:\.\d+)?(?:[eE][+-]?\d{1,3}(?!\w))?")
_FENCE = re.compile(r"```(?:\w+)?\s*\n(.*?)```", re.DOTALL)
_JSON_START = re.compile(r"[\[{]")


def final_answer(check: Check, text: str) -> str | None:
    """What `check` compares, in a form that is equal for equal answers; None where `text` holds no such answer."""
    match check:
        case "exact" | "contains":
            return normalised(text)
        case "number":
            numbers = _NUMBER.findall(text)
            return format(Decimal(numbers[-1].replace(",", "")).normalize(), "E") if numbers else None
        case "json":
            return next(_json_values(text), None)
        case _:
            assert_never(check)


def is_right(check: Check, answer: str, reference: str) -> bool:
    """Whether `answer` says what `reference` says; never where the reference says nothing."""
    expected, given = final_answer(check, reference), final_answer(check, answer)
    if not expected or given is None:
        return False
    if check == "contains":
        return re.search(rf"(?<!\w){re.escape(expected)}(?!\w)", given) is not None
    return given == expected


def normalised(text: str) -> str:
    """`text` without what does not change its meaning: case, runs of blanks, width forms, closing `.`, `;`, `!`."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split()).rstrip(".;! ")


def _json_values(text: str) -> Iterator[str]:
    """The JSON values of `text`, canonical: the whole of it, its code blocks, then whatever starts with a bracket."""
    decoder = json.JSONDecoder(parse_float=_plain_number)
    for part in (text, *_FENCE.findall(text)):
        try:
            yield json.dumps(decoder.decode(part.strip()), sort_keys=True)
        except ValueError:
            continue
    for start in _JSON_START.finditer(text):
        try:
            yield json.dumps(decoder.raw_decode(text, start.start())[0], sort_keys=True)
        except ValueError:
            continue


def _plain_number(digits: str) -> int | float:
    """1.0 is the number 1 in JSON."""
    number = float(digits)
    return int(number) if number.is_integer() else number
