"""Strengths are log odds on one scale: silence on hard prompts does not raise them, and missing pairs are bridged."""

import numpy as np
import pytest

from routers.mapping.outcomes import Outcomes
from routers.mapping.paired import PairedScores
from routers.mapping.strengths import Strengths
from tests.routers.mapping.conftest import MakePaired


def logit(share: float) -> float:
    return float(np.log(share / (1 - share)))


def test_with_many_rows_strengths_are_the_log_odds_of_each_category(make_paired: MakePaired) -> None:
    chances = [[0.8, 0.5], [0.3, 0.6], [0.5, 0.5]]
    strengths = Strengths.of(make_paired(chances, 20_000), ["law", "maths"])
    for category, (first, second) in zip(("law", "maths"), chances, strict=False):
        found = strengths.in_category(category)
        assert found["e0"] - found["e1"] == pytest.approx(logit(first) - logit(second), abs=0.1)
        assert found["e0"] == pytest.approx(logit(first), abs=0.15)


def test_a_prompt_of_uncertain_category_has_strengths_in_between(make_paired: MakePaired) -> None:
    strengths = Strengths.of(make_paired([[0.8, 0.5], [0.3, 0.6], [0.5, 0.5]], 500), ["law", "maths"])
    law, maths = strengths.in_category("law"), strengths.in_category("maths")
    assert strengths.expected({"law": 1.0, "maths": 0.0}) == pytest.approx(law)
    assert strengths.expected({"law": 0.5, "maths": 0.5})["e0"] == pytest.approx((law["e0"] + maths["e0"]) / 2)
    assert strengths.expected({}) == strengths.in_category("general") == strengths.in_category("unheard of")


def test_silence_on_hard_prompts_makes_no_expert_stronger() -> None:
    # All three are right on the same easy half; the third says nothing on the hard half, where the second guesses well.
    rng = np.random.default_rng(0)
    easy = rng.random(4000) < 0.5
    scores = np.stack([rng.random(4000) < np.where(easy, p, q) for p, q in ((0.8, 0.4), (0.8, 0.4), (0.8, 0.4))], 1)
    told = scores.astype(np.float64)
    told[~easy, 2] = np.nan
    paired = PairedScores.of(Outcomes(("a", "b", "silent"), told), np.zeros(4000, dtype=np.int64), 2)
    assert paired.means()[0, 2] > paired.means()[0, 1] + 0.1
    found = Strengths.of(paired, ["quiz"]).in_category("quiz")
    assert found["silent"] == pytest.approx(found["b"], abs=0.15)


def test_experts_that_never_met_are_compared_through_a_third() -> None:
    rng = np.random.default_rng(0)
    told = (rng.random((9000, 3)) < [0.8, 0.6, 0.3]).astype(np.float64)
    told[:4500, 2] = np.nan
    told[4500:, 0] = np.nan
    paired = PairedScores.of(Outcomes(("a", "b", "c"), told), np.zeros(9000, dtype=np.int64), 2)
    found = Strengths.of(paired, ["quiz"]).in_category("quiz")
    assert found["a"] - found["c"] == pytest.approx(logit(0.8) - logit(0.3), abs=0.2)


def test_few_rows_say_little(make_paired: MakePaired) -> None:
    few = Strengths.of(make_paired([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]], 3), ["law", "maths"]).in_category("law")
    many = Strengths.of(make_paired([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]], 300), ["law", "maths"]).in_category("law")
    assert few["e0"] - few["e1"] < many["e0"] - many["e1"]
    assert np.isfinite(list(many.values())).all()


def test_no_outcomes_and_one_expert_are_no_error(make_paired: MakePaired) -> None:
    none = np.zeros((2, 0, 0))
    nothing = PairedScores((), none, none, none, none, np.zeros(2))
    assert Strengths.of(nothing, ["quiz"]).in_category("quiz") == {}
    one = Strengths.of(make_paired([[0.7], [0.7]], 5000), ["quiz"]).in_category("quiz")
    assert one["e0"] == pytest.approx(logit(0.7), abs=0.1)


def test_a_copy_is_wholly_alike_and_one_that_errs_elsewhere_is_not() -> None:
    rng = np.random.default_rng(0)
    first, other = rng.random(3000) < 0.5, rng.random(3000) < 0.5
    told = np.stack([first, first, other], axis=1).astype(np.float64)
    paired = PairedScores.of(Outcomes(("a", "copy", "other"), told), np.zeros(3000, dtype=np.int64), 2)
    strengths = Strengths.of(paired, ["quiz"])
    assert strengths.alike("a", "copy") == pytest.approx(1)
    assert strengths.alike("a", "other") == pytest.approx(0, abs=0.06)
    assert strengths.alike("other", "a") == strengths.alike("a", "other")
