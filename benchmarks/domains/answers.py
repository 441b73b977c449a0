"""Pieces of an answer: a model's text goes in, the part that a judge needs comes out."""

import re

_FENCE = re.compile(r"```[ \t]*\w*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)


def unfenced(answer: str) -> str:
    """The inside of the first Markdown code fence, or the whole answer where there is none."""
    fence = _FENCE.search(answer)
    return fence.group(1) if fence else answer
