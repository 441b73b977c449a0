"""How likely an expert found its own words, and how much likelier than a weaker expert: token log probabilities in,
one score per answer out. The higher the better; in nats a token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from coe.aggregators.proposals import TokenLogprob

ALPHA, BETA = 0.1, 0.5  # arXiv 2405.14507, SCMoE


def mean_logprob(tokens: Sequence[TokenLogprob]) -> float:
    """The mean over tokens; minus infinity where there are none."""
    return math.fsum(token.logprob for token in tokens) / len(tokens) if tokens else -math.inf


def self_contrast(
    strong: Sequence[TokenLogprob], weak: Sequence[float], *, alpha: float = ALPHA, beta: float = BETA
) -> float:
    """The mean of `(1 + beta) * strong - beta * weak` over tokens (SCMoE, there a rule of decoding).

    Only tokens that the strong expert finds plausible, at least `alpha` times as likely as its likeliest, are held
    against the weak one; of the others its own log probability counts. Where the two were not cut into the same tokens
    their means are contrasted.

    Args:
        strong: of the expert that gave the answer.
        weak: log probabilities of the same tokens by the other.
        alpha: in (0, 1].
        beta: at least 0; with 0 it is `mean_logprob`.
    """
    if not strong or not weak:
        return mean_logprob(strong)
    if len(strong) != len(weak):
        return (1 + beta) * mean_logprob(strong) - beta * math.fsum(weak) / len(weak)
    bar = math.log(alpha)
    scores = (
        (1 + beta) * token.logprob - beta * other if token.logprob >= bar + token.best else token.logprob
        for token, other in zip(strong, weak, strict=True)
    )
    return math.fsum(scores) / len(strong)
