import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.aggregators.likelihood import mean_logprob, self_contrast
from coe.aggregators.proposals import TokenLogprob

logprobs = st.floats(-20, 0)


def tokens(*found: float, best: float | None = None) -> list[TokenLogprob]:
    return [TokenLogprob("x", each, each if best is None else best) for each in found]


def test_the_mean_is_over_tokens_so_that_long_answers_are_no_worse() -> None:
    assert mean_logprob(tokens(-1.0, -3.0)) == mean_logprob(tokens(-2.0)) == -2.0
    assert mean_logprob([]) == -math.inf


def test_what_the_weak_expert_finds_likely_too_counts_less() -> None:
    strong = tokens(-1.0, -1.0)
    assert self_contrast(strong, [-4.0, -4.0]) > self_contrast(strong, [-1.0, -1.0])
    assert self_contrast(strong, [-1.0, -1.0]) == pytest.approx(-1.0)
    assert self_contrast(strong, [-3.0, -3.0], beta=0.5) == pytest.approx(-1.5 + 1.5)


def test_tokens_that_the_strong_expert_found_implausible_are_not_rewarded() -> None:
    unlikely = tokens(-5.0, best=-0.1)  # below a tenth of the likeliest
    assert self_contrast(unlikely, [-50.0]) == -5.0
    assert self_contrast(unlikely, [-50.0], alpha=1e-3) > -5.0


def test_other_tokens_are_contrasted_by_their_means() -> None:
    assert self_contrast(tokens(-1.0, -3.0), [-2.0, -2.0, -2.0], beta=0.5) == pytest.approx(1.5 * -2.0 + 0.5 * 2.0)


@given(st.lists(st.tuples(logprobs, logprobs), min_size=1, max_size=20))
def test_without_contrast_it_is_the_mean(pairs: list[tuple[float, float]]) -> None:
    strong = tokens(*(own for own, _ in pairs))
    assert self_contrast(strong, [other for _, other in pairs], beta=0.0) == pytest.approx(mean_logprob(strong))


def test_without_scores_of_the_weak_expert_it_is_the_mean() -> None:
    assert self_contrast(tokens(-2.0), []) == -2.0
