"""How steady the router is: `python -m benchmarks.robustness [--router DIR --data F…] [--train F… --test F…] [--json]`.

Two questions. Does a prompt keep its category where it is sent with slips, in capitals, with a greeting, behind a
pasted system prompt, in other words (`benchmarks.perturbations`)? And what does a router know that was trained on 5,
10 or 20 prompts a category, and does it promise more? Out: a table (or JSON) with intervals, the machine, and for each
target of the project whether it holds. Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from benchmarks.machine import describe_machine
from benchmarks.perturbations import PERTURBATIONS, perturbed
from benchmarks.programs import say
from benchmarks.robustness_report import (
    LABELLED,
    Report,
    SmallData,
    Stability,
    as_json,
    as_markdown,
    of_trainings,
    report,
    stability,
)
from benchmarks.running import run
from coe.cli.train_router import encoder_cache, resolver
from routers.encoders.catalogue import build_encoder
from routers.encoders.encoder import Encoder
from routers.errors import RouterError
from routers.evaluation import evaluate
from routers.prompts import LabelledPrompt, read_prompts
from routers.router import CategoryRouter
from routers.training import train
from workers.errors import SourceError

_CONFIGS = Path(__file__).parents[1] / "configs"
_PACKAGES = ("coe", "numpy", "scipy", "tokenizers", "scikit-learn")
_REJECT_RATE = 0.05


def measure_stability(router: CategoryRouter, texts: Sequence[str], seed: int) -> list[Stability]:
    """Of each perturbation over the `texts` that it changes; those that change none are left out."""
    plain = router.classify_batch(texts)
    found: list[Stability] = []
    for name in PERTURBATIONS:
        changed = [(other, before) for text, before in zip(texts, plain, strict=True)
                   if (other := perturbed(text, name, seed)) != text]  # fmt: skip
        after = router.classify_batch([other for other, _ in changed])
        if changed:
            found.append(stability(name, [before for _, before in changed], after))
    return found


def measure_small_data(
    train_rows: Sequence[LabelledPrompt], test_rows: Sequence[LabelledPrompt], encoder: Encoder, seeds: int
) -> list[SmallData]:
    """Routers of 5, 10 and 20 prompts a category, drawn `seeds` times, judged on all of `test_rows`.

    Out-of-scope rows take part in the same number as those of a category.
    """
    found: list[SmallData] = []
    for labelled in LABELLED:
        trainings = []
        for seed in range(seeds):
            say(f"{labelled} prompts a category, draw {seed + 1} of {seeds}")
            router, promised = train(draw(train_rows, labelled, seed), encoder, reject_rate=_REJECT_RATE, seed=seed)
            trainings.append((promised.category, evaluate(router, test_rows)))
        found.append(of_trainings(labelled, trainings, sum(row.category is not None for row in test_rows)))
    return found


def draw(rows: Iterable[LabelledPrompt], count: int, seed: int) -> list[LabelledPrompt]:
    """At most `count` different prompts of each category and of out of scope, without their outcomes."""
    by_category: dict[str | None, dict[str, LabelledPrompt]] = {}
    for row in rows:
        if row.labelled:
            plain = LabelledPrompt(row.text, row.category, labelled=True, turns=row.turns)
            by_category.setdefault(row.category, {}).setdefault(row.text, plain)
    chance = random.Random(seed)
    return [
        row
        for _, own in sorted(by_category.items(), key=lambda item: item[0] or "")
        for row in chance.sample(list(own.values()), min(count, len(own)))
    ]


def measure(given: argparse.Namespace) -> Report:
    """Raises RouterError or SourceError."""
    resolve = resolver(say)
    router = CategoryRouter.load(given.router, resolve)
    texts = [row.text for row in read_prompts(given.data)]
    random.Random(given.seed).shuffle(texts)
    machine = describe_machine(_PACKAGES)
    say(f"perturbing {min(len(texts), given.rows)} prompts")
    stable = measure_stability(router, texts[: given.rows], given.seed)
    encoder = build_encoder("static", resolve, cache=encoder_cache(wanted=True))
    small = measure_small_data(read_prompts(given.train), read_prompts(given.test), encoder, given.draws)
    return report(machine, stable, small)


def _jsonl(folder: str) -> list[Path]:
    return sorted((_CONFIGS / "router-data" / folder).glob("*.jsonl"))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robustness", description=__doc__.partition("\n")[0])
    parser.add_argument("--router", type=Path, default=_CONFIGS / "router", metavar="DIR")
    parser.add_argument("--data", type=Path, nargs="+", default=_jsonl("heldout"), metavar="F", help="to perturb")
    parser.add_argument("--rows", type=int, default=2_000, help="prompts of them to perturb, at most")
    parser.add_argument(
        "--train", type=Path, nargs="+", default=_jsonl("train"), metavar="F", help="to draw a few from"
    )
    parser.add_argument(
        "--test", type=Path, nargs="+", default=_jsonl("heldout"), metavar="F", help="to judge these on"
    )
    parser.add_argument("--draws", type=int, default=3, help="of each number of prompts")
    parser.add_argument("--seed", type=int, default=0, help="of the perturbations")
    parser.add_argument("--json", action="store_true", help="print JSON instead of the tables")
    given = parser.parse_args()
    return run(lambda: measure(given), as_json if given.json else as_markdown, (RouterError, SourceError))


if __name__ == "__main__":
    sys.exit(main())
