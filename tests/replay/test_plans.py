"""What a cascade promises: it beats the best expert where experts err apart; where they err together it cannot."""

import pytest

from coe.aggregators.cascade import CascadeSettings
from coe.replay.figures import PlanFigures, Replay, evaluate
from coe.replay.plans import Cascade, Routed, usual_plans, vote
from routers.mapping.experts import ExpertSize
from tests.replay.worlds import drawn_answers, judged_on, numbered_prompts

EXPERTS = {"a": 0.55, "b": 0.5, "c": 0.5, "d": 0.45, "e": 0.2}
SIZES = {name: ExpertSize(size, size) for name, size in zip(EXPERTS, (7.0, 8.0, 3.0, 7.0, 1.0), strict=True)}


def replayed(together: float = 0.0, **drawn: dict[str, float]) -> Replay:
    learned = drawn_answers(numbered_prompts(600), EXPERTS, together=together, seed=1, **drawn)
    rows = drawn_answers(numbered_prompts(1000, first=600), EXPERTS, together=together, seed=2, **drawn)
    plans = usual_plans(len(EXPERTS), votes=[3], bars=[0.0, 0.5], most=4)
    return evaluate(judged_on(learned, rows), plans, sorted(EXPERTS), SIZES, rows=len(rows))


def plan(replay: Replay, name: str) -> PlanFigures:
    return next(one for one in replay.plans if one.name == name)


def test_a_cascade_beats_the_best_expert_where_experts_err_apart() -> None:
    replay = replayed()
    cascade = plan(replay, "cascade")
    assert cascade.gain.ci95 is not None
    assert cascade.gain.ci95[0] > 0.02
    assert 2 < cascade.calls < 3


def test_a_cascade_gains_nothing_where_experts_err_together() -> None:
    replay = replayed(together=1.0)
    cascade = plan(replay, "cascade")
    assert cascade.gain.mean == pytest.approx(0, abs=0.02)
    assert cascade.score <= plan(replay, "top-1").score + 0.02


def test_a_cascade_scores_as_the_vote_of_three_for_fewer_calls() -> None:
    replay = replayed()
    assert plan(replay, "cascade").score == plan(replay, "top-3 vote").score
    assert plan(replay, "cascade").calls < plan(replay, "top-3 vote").calls == 3


def test_a_bar_saves_calls_and_all_are_asked_for_all() -> None:
    replay = replayed()
    assert plan(replay, "cascade-4, bar 0.5").calls == 2
    assert plan(replay, "cascade-4, bar 0").calls > plan(replay, "cascade").calls
    everyone = plan(replay, "all")
    assert everyone.calls == len(EXPERTS)
    assert everyone.active_params_b == pytest.approx(sum(size.active_params_b for size in SIZES.values()))


def test_references_bound_the_plans() -> None:
    replay = replayed()
    best, oracle = replay.references
    assert best.score == plan(replay, "top-1").score
    assert oracle.score >= max(one.score for one in replay.plans)
    assert plan(replay, "top-1").gain.mean == 0


def test_an_expert_that_is_silent_rather_than_wrong_has_the_weightier_vote() -> None:
    # Both are right as often.
    learned = drawn_answers(numbered_prompts(4000), {"b": 0.5, "c": 0.5}, silent={"c": 0.8}, seed=3)
    strengths = judged_on(learned, learned[:1])[0].log_odds
    assert strengths["c"] > strengths["b"]


def test_silence_is_no_vote_and_nobody_answering_is_no_error() -> None:
    learned = drawn_answers(numbered_prompts(300), EXPERTS, seed=1)
    rows = drawn_answers(numbered_prompts(300, first=300), EXPERTS, silent=dict.fromkeys(EXPERTS, 1.0), seed=2)
    judged = judged_on(learned, rows)
    cascade = Cascade("cascade", "cascade", CascadeSettings())
    for one in judged:
        found = cascade.replay(one)
        # Who is silent is never wrong aloud: whoever answers is right, and then so is the vote.
        if any(one.row.answers[name] is not None for name in found.asked):
            assert one.row.scores[found.expert] == 1
        else:
            assert found.expert == found.asked[0]


def test_a_vote_asks_the_strongest_and_the_routed_expert_is_asked_alone() -> None:
    learned = drawn_answers(numbered_prompts(600), EXPERTS, seed=1)
    one = judged_on(learned, learned[:1])[0]
    assert Routed().replay(one).asked == (one.routed,)
    assert "e" not in vote(4).replay(one).asked
