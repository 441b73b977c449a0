"""The files of which the pages speak: labelled prompts, recorded answers, rows to train on, a trained router."""

from __future__ import annotations

import gzip
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import orjson
import pytest

from coe.replay.judging import trained
from routers.encoders.static import StaticEncoder
from routers.mapping.experts import ExpertSize
from routers.prompts import LabelledPrompt
from tests.finetune.conftest import tiny_base  # noqa: F401  # a fixture
from tests.routers.conftest import MakePrompts

SIZES = {"small": 3.0, "cook": 8.0, "jurist": 8.0, "large": 70.0}
SKILL = {
    "cooking": {"small": 0.3, "cook": 0.9, "jurist": 0.3, "large": 0.6},
    "law": {"small": 0.3, "cook": 0.3, "jurist": 0.9, "large": 0.6},
    "maths": {"small": 0.3, "cook": 0.4, "jurist": 0.4, "large": 0.6},
}
OPTIONS = "ABCD"
PLACEMENT = """\
workers: {gpu: {replicas: 2, device_gb: 40}}
experts: {chat: {size_gb: 16, requests_per_s: 1, service_s: 0.5}}
"""

WriteExamples = Callable[[Path], None]


@pytest.fixture(scope="session")
def write_examples(make_prompts: MakePrompts, word_encoder: StaticEncoder) -> WriteExamples:
    """`write_examples(folder)`: the files that commands of the pages name, but for what they make themselves."""
    train, test = (_with_answers(make_prompts(count, seed=seed), seed) for count, seed in ((120, 1), (60, 2)))
    prompts = make_prompts(40, out_of_scope=30, seed=3)
    sizes = {name: ExpertSize(size, size) for name, size in SIZES.items()}
    router = trained(train, word_encoder, tuple(SIZES), sizes)

    def write(folder: Path) -> None:
        for name, rows in {"train": train, "test": test, "answers": test, "probes": test, "prompts": prompts}.items():
            (folder / f"{name}.jsonl").write_bytes(_rows(rows))
        (folder / "mmlu_pro.jsonl.gz").write_bytes(gzip.compress(_rows([*train, *test])))
        (folder / "experts.json").write_bytes(orjson.dumps(SIZES))
        sums = [{"prompt": f"{number} and 1", "completion": str(number + 1)} for number in range(24)]
        (folder / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, sums)))
        (folder / "placement.yaml").write_text(PLACEMENT)
        shutil.rmtree(folder / "DIR", ignore_errors=True)
        router.save(folder / "DIR")

    return write


def _with_answers(prompts: Sequence[LabelledPrompt], seed: int) -> list[LabelledPrompt]:
    """The prompts with drawn answers of experts that are right as often as `SKILL` says, each in its category."""
    rng = np.random.default_rng(seed)
    rows = []
    for prompt in prompts:
        reference = str(rng.choice(list(OPTIONS)))
        wrong = [option for option in OPTIONS if option != reference]
        chances = SKILL[prompt.category or ""]
        answers = {
            name: reference if rng.random() < chance else str(rng.choice(wrong)) for name, chance in chances.items()
        }
        outcomes = {name: float(answer == reference) for name, answer in answers.items()}
        rows.append(replace(prompt, answers=answers, outcomes=outcomes, reference=reference))
    return rows


def _rows(prompts: Sequence[LabelledPrompt]) -> bytes:
    found = []
    for one in prompts:
        row: dict[str, object] = {"prompt": one.text, "category": one.category}
        recorded = {"outcomes": dict(one.outcomes), "answers": dict(one.answers), "reference": one.reference}
        found.append(row | {key: value for key, value in recorded.items() if value})
    return b"\n".join(map(orjson.dumps, found))
