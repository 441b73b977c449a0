"""Proposals into a context of tokens: long ones are cut at their end, as little as it takes.

A proposal's tokens are those that its engine counted when it made it. The gateway has no tokenizer: where another model
is to read it, and for the service's own words, the count is an estimate on the safe side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from coe.aggregators.proposals import Proposal

ANOTHER_TOKENIZER = 1.25  # a text in a model's tokens, over its tokens in another's, seldom more
BYTES_A_TOKEN = 3  # of English in a vocabulary of 50,000 and more it is above four
TOKENS_AROUND = 8  # a proposal's number and line ends
EVEN = 0.95  # a text's head may hold more than its share of the tokens
CUT = " […]"


@dataclass(frozen=True, slots=True)
class Fitted:
    """Texts that fit. `cut`: how many were cut; `limit`: the tokens that each of those was left."""

    texts: tuple[str, ...]
    cut: int = 0
    limit: int = 0


def room(context: int, said: int, answer: int) -> int:
    """Tokens that are left for proposals, possibly none.

    Args:
        context: of the expert that reads them.
        said: tokens of all else that it reads.
        answer: tokens that are kept free for what it says.
    """
    return max(0, context - said - answer)


def estimate(text: str) -> int:
    """Tokens of a text that no engine has counted."""
    return len(text.encode()) // BYTES_A_TOKEN + 1


def fit(proposals: Sequence[Proposal], tokens: int, factors: Sequence[float]) -> Fitted:
    """Cuts the longest first, all of them to the same length, until all together take at most `tokens`.

    `factors`: by which each proposal's own count is multiplied, above 1 where another tokenizer reads it.
    """
    sizes = [each.tokens * times for each, times in zip(proposals, factors, strict=True)]
    limit = _level(sizes, tokens - TOKENS_AROUND * len(proposals))
    texts = tuple(
        each.text if size <= limit else _head(each.text, limit / size)
        for each, size in zip(proposals, sizes, strict=True)
    )
    cut = sum(size > limit for size in sizes)
    return Fitted(texts, cut, int(limit) if cut else 0)


def _level(sizes: Sequence[float], tokens: float) -> float:
    """The largest length at which all sizes, each cut to it, sum to at most `tokens`."""
    left = max(0.0, tokens)
    for place, size in enumerate(ordered := sorted(sizes)):
        share = left / (len(ordered) - place)
        if size > share:
            return share
        left -= size
    return max(sizes, default=0.0)


def _head(text: str, share: float) -> str:
    """About the first `share` of the text's tokens, the mark of the cut included."""
    kept = int(len(text) * share * EVEN) - len(CUT)
    return text[:kept].rstrip() + CUT if kept > 0 else ""
