from pathlib import Path

import pytest

from coe.config.load import load_config
from coe.errors import ConfigError
from coe.plan.building import Found
from coe.plan.loading import load_planner
from coe.plan.options import PlanOptions
from coe.plan.plans import Moa

BASE = """
router: {path: router, general: poet, plans: {verse: PLAN}}
models: {m: {source: "path:m", max_model_len: 512}}
experts: {poet: {model: m, sampling: {max_tokens: 99}}, clerk: {model: m}}
workers: {w: {device: cpu}}
plans:
  careful: {KEYS}
"""


def write(folder: Path, keys: str, plan: str = "careful") -> Path:
    path = folder / "coe.yaml"
    path.write_text(BASE.replace("KEYS", keys).replace("PLAN", plan))
    return path


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ("kind: mao", "plans.careful.kind: Input should be 'self-moa'"),
        ("kind: moa, layer: 2", "plans.careful.layer: unknown key; did you mean `layers`?"),
        ("kind: moa, proposers: [poet, nobody]", "plans.careful.proposers.1: there is no expert `nobody`"),
        ("kind: moa, proposers: [poet, poet]", "plans.careful.proposers.1: `poet` is already in this list"),
        ("kind: moa, aggregator: nobody", "plans.careful.aggregator: there is no expert `nobody`"),
        ("kind: self-moa, layers: 2", "plans.careful.layers: it has no meaning for `kind: self-moa`"),
        ("kind: vote, aggregator: poet", "plans.careful.aggregator: it has no meaning for `kind: vote`"),
        ("kind: cascade, agreement: judge", "plans.careful.judge: set `agreement: judge` and `judge` together"),
        ("kind: cascade, judge: poet", "plans.careful.judge: set `agreement: judge` and `judge` together"),
        ("kind: vote, mean_calls: 0.5", "plans.careful.null_answer: with `mean_calls` below 1"),
        ("kind: vote, n: 9, max_calls: 8", "plans.careful.max_calls: `n` alone is 9"),
    ],
)
def test_what_is_wrong_with_a_plan_is_told_with_its_key(tmp_path: Path, keys: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write(tmp_path, keys), {})
    assert told in str(caught.value)


@pytest.mark.parametrize("plan", ["careful", "self-moa", "single"])
def test_a_category_may_have_a_plan_of_the_file_or_of_the_service(tmp_path: Path, plan: str) -> None:
    assert load_config(write(tmp_path, "kind: moa", plan), {}).config.router.plans == {"verse": plan}


def test_a_category_cannot_have_a_plan_that_is_nowhere(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"router\.plans\.verse: there is no plan `mao`; known: self-moa, moa"):
        load_config(write(tmp_path, "kind: moa", "mao"), {})


def test_a_file_of_the_configuration_takes_the_place_of_the_services_words(tmp_path: Path) -> None:
    (tmp_path / "merge.txt").write_text("Only this: $proposals")
    loaded = load_config(write(tmp_path, "kind: self-moa, prompt: merge.txt"), {})
    found = load_planner(loaded).plan(Found("poet", "verse"), PlanOptions())
    assert isinstance(found, Moa)
    assert (found.prompt, found.aggregator.context, found.aggregator.max_tokens) == ("Only this: $proposals", 512, 99)


@pytest.mark.parametrize(("text", "told"), [(None, "No such file"), ("no place", "must have the places `$proposals`")])
def test_a_prompt_that_cannot_be_used_is_told_with_its_key(tmp_path: Path, text: str | None, told: str) -> None:
    if text:
        (tmp_path / "merge.txt").write_text(text)
    loaded = load_config(write(tmp_path, "kind: self-moa, prompt: merge.txt"), {})
    with pytest.raises(ConfigError) as caught:
        load_planner(loaded)
    assert "plans.careful.prompt: merge.txt: " in str(caught.value)
    assert told in str(caught.value)
