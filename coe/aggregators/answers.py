"""What an answer comes to: a text goes in, a short form comes out that is the same for answers that say the same.

Votes count equal forms. Free text has seldom an equal: where a similarity is given, answers that are close are one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

from coe.selection.checks import final_answer, normalised

AnswerKind: TypeAlias = Literal["auto", "option", "number", "json", "text"]
"""`option`: a letter that names a choice. `number`: the last number. `json`: the first JSON value. `text`: all of it,
but for case, blanks and closing punctuation. `auto`: what is marked as the answer, or else all of it, in whichever of
these forms it is written."""

Similar: TypeAlias = Callable[[str, str], bool]
"""Whether two free texts say the same."""

_FENCED = re.compile(r"\s*```\w*\s*\n(.*?)\n?\s*```\s*", re.DOTALL)
_BOXED = re.compile(r"\\boxed\{\s*(?:\\text\{)?([^{}]+?)\}?\s*\}")
_HASHES = re.compile(r"^####[ \t]*(\S.*)$", re.MULTILINE)
_SAID = re.compile(
    r"(?i)\b(?:final |correct |best |right )?(?:answer|option|choice)(?: is|:)[ \t*:]*(\S[^\n]*?)[ \t*]*(?:$|\n|\. )"
)
_OPTION = re.compile(r"[*(\[ ]*([A-Za-z])[*)\]]*[.:]?(?:[*)\]. ]*|[.:)]+[ *]+\S.*)", re.DOTALL)
_LETTER = re.compile(r"(?<![\w'\u2019])\(?([A-Z])\)?(?![\w'\u2019])")
_NUMBER = re.compile(r"[$€£]?\s*-?[\d,]*\.?\d+(?:[eE][+-]?\d{1,3})?\s*%?\.?")
_REMEMBERED = 4096


@lru_cache(maxsize=_REMEMBERED)
def comparable(text: str, kind: AnswerKind = "auto") -> str | None:
    """The form that is compared; None where `text` holds no answer of the kind: it then has no vote."""
    whole = unfenced(text).strip()
    match kind:
        case "option":
            said = marked(whole)
            return _letter(said, 0) if said else _option(whole) or _letter(whole, -1)
        case "number":
            return final_answer("number", marked(whole) or whole) or final_answer("number", whole)
        case "json":
            return final_answer("json", text)
        case "text":
            return normalised(whole) or None
        case _:
            return _written(marked(whole) or whole)


def unfenced(text: str) -> str:
    """The inside of a code block that is all of `text`; else `text`."""
    fenced = _FENCED.fullmatch(text)
    return fenced[1] if fenced else text


def marked(text: str) -> str | None:
    r"""What `text` marks as its answer: in the last `\boxed{}`, after `####`, after "the answer is"; None: nothing."""
    for pattern in (_BOXED, _HASHES, _SAID):
        if found := pattern.findall(text):
            return str(found[-1]).strip()
    return None


def grouped(texts: Sequence[str], kind: AnswerKind = "auto", similar: Similar | None = None) -> list[int | None]:
    """For each of `texts` the place of the first that says the same; None where it says nothing.

    `similar` is asked of texts whose forms differ. It is compared with the first of a group alone, so that a chain of
    near ones does not become one group.
    """
    forms = [comparable(text, kind) for text in texts]
    groups: list[int | None] = []
    for place, form in enumerate(forms):
        heads = [i for i in range(place) if groups[i] == i]
        same = next((i for i in heads if forms[i] == form), None)
        if same is None and similar is not None and form is not None:
            same = next((i for i in heads if similar(texts[i], texts[place])), None)
        groups.append(None if form is None else place if same is None else same)
    return groups


def _written(text: str) -> str | None:
    if text[:1] in {"[", "{"} and (found := final_answer("json", text)):
        return found
    if option := _option(text):
        return option
    if _NUMBER.fullmatch(text):
        return final_answer("number", text)
    return normalised(text) or None


def _option(text: str) -> str | None:
    found = _OPTION.fullmatch(text)
    return found[1].upper() if found else None


def _letter(text: str, place: int) -> str | None:
    """The first or last letter standing alone. `A` and `I` are words, too: they count in brackets or at the start."""
    letters = [one for one in _LETTER.finditer(text) if one[1] not in "AI" or "(" in one[0] or not one.start()]
    return letters[place][1] if letters else None
