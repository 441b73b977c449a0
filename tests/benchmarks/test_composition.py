from pathlib import Path

import numpy as np

from benchmarks.asking import Answer, Pass
from benchmarks.composition import EXPERT_OF, Asked, draw, policies, write_outcomes
from benchmarks.composition_report import COE, ORACLE, TRUE_CATEGORY
from routers.prompts import read_prompts

ACTIVE = dict.fromkeys(EXPERT_OF.values(), 0.2) | {"generalist": 0.1}


def asked() -> Asked:
    """Every expert is right in its own domain alone; the router sends everything to the extractor."""
    tasks = draw(2, seed=0)
    own = {name: np.array([EXPERT_OF[task.domain] == name for task in tasks], dtype=np.float64) for name in ACTIVE}
    answers = [Answer("an answer", "extractor", task.domain, 3) for task in tasks]
    passes = {name: Pass(answers, 2.0) for name in (COE, *ACTIVE)}
    return Asked(tasks, passes, {COE: own["extractor"], **own})


def test_the_map_by_true_category_takes_each_domains_own_expert_and_the_oracle_whoever_is_right() -> None:
    found = policies(asked(), ACTIVE)
    assert found[COE].right.mean() == found["extractor"].right.mean() == 0.2
    assert found[TRUE_CATEGORY].right.mean() == found[ORACLE].right.mean() == 1.0
    assert found[COE].active_params_b == 0.2
    assert round(found[TRUE_CATEGORY].active_params_b or 0, 6) == 0.18  # two of ten prompts are the generalist's
    assert found[COE].tokens_per_s == 15.0


def test_outcomes_are_labelled_prompts_that_a_router_can_learn_from(tmp_path: Path) -> None:
    path = tmp_path / "outcomes.jsonl"
    write_outcomes(path, asked())
    rows = read_prompts([path])
    assert {row.category for row in rows} == {"arithmetic", "sql", "python", "extraction", None}
    assert rows[0].outcomes == {name: float(name == "arithmetician") for name in ACTIVE}
