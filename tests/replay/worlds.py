"""Recorded answers that were drawn, and not recorded: experts of known accuracy, that err apart or together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from coe.replay.judging import Judged
from coe.replay.recorded import Recorded, recorded
from routers.mapping.outcomes import answered_outcomes_of
from routers.mapping.paired import PairedScores
from routers.mapping.strengths import Strengths
from routers.prompts import LabelledPrompt

OPTIONS = "ABCDEFGHIJ"


def drawn_answers(
    prompts: Sequence[LabelledPrompt],
    accuracy: Mapping[str, float],
    *,
    together: float = 0.0,
    silent: Mapping[str, float] | None = None,
    seed: int = 0,
) -> list[LabelledPrompt]:
    """`prompts` with answers of experts that are right with their `accuracy`.

    `together`: the share of prompts on which all answer as one: right or wrong together, by one draw, and in the same
    way. `silent`: the share of its wrong answers that an expert does not give.
    """
    rng = np.random.default_rng(seed)
    rows: list[LabelledPrompt] = []
    for prompt in prompts:
        reference = str(rng.choice(list(OPTIONS)))
        wrong = [option for option in OPTIONS if option != reference]
        common, as_one, their_wrong = rng.random(), rng.random() < together, str(rng.choice(wrong))
        answers: dict[str, str] = {}
        for name, chance in accuracy.items():
            right = (common if as_one else rng.random()) < chance
            said = reference if right else their_wrong if as_one else str(rng.choice(wrong))
            if right or rng.random() >= (silent or {}).get(name, 0.0):
                answers[name] = said
        outcomes = {name: float(answers.get(name) == reference) for name in accuracy}
        rows.append(replace(prompt, answers=answers, outcomes=outcomes, reference=reference))
    return rows


def numbered_prompts(count: int, first: int = 0) -> list[LabelledPrompt]:
    """Prompts of one category."""
    return [LabelledPrompt(f"question {first + i}", "quiz", labelled=True) for i in range(count)]


def judged_on(learned: Sequence[LabelledPrompt], rows: Sequence[LabelledPrompt]) -> list[Judged]:
    """`rows` with strengths from `learned`, of one category that is always found; routed is who was best there."""
    experts = sorted(learned[0].outcomes)
    paired = PairedScores.of(answered_outcomes_of(learned, experts), np.zeros(len(learned), dtype=np.int64), 2)
    strengths = Strengths.of(paired, ["quiz"])
    means = {name: np.mean([row.outcomes[name] for row in learned]) for name in experts}
    best = max(experts, key=lambda name: means[name])
    known: list[Recorded] = recorded(rows, experts)
    return [Judged(row, best, strengths.in_category("quiz"), strengths.alike, found=True) for row in known]
