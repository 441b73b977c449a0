"""What it costs to classify a prompt: `python -m benchmarks.router [--seconds S] [--rounds N] [--json]`.

On one core, in turns: the router that ships (static encoder), the same rows trained with MiniLM and its int8 form, and
beside them MiniLM's bare encoding and scikit-learn's own TF-IDF with logistic regression. One prompt at a time and in
batches, at 50 and 200 tokens, and for the shipped router also prompts of words that nothing has seen before. Out: a
table (or JSON) with medians over the rounds, the machine, and for each target of the project whether it holds.
Exit 0 where all was measured, 1 where not.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.machine import describe_machine
from benchmarks.programs import say
from benchmarks.router_report import BATCH, LENGTHS, Report, Round, Speed, as_json, as_markdown, report
from benchmarks.running import run
from coe.cli.train_router import encoder_cache, resolver
from routers.encoders.catalogue import build_encoder, with_cache
from routers.encoders.encoder import Resolve
from routers.encoders.sentence_transformer import MINILM
from routers.errors import RouterError
from routers.prompts import LabelledPrompt, read_prompts
from routers.router import CategoryRouter
from routers.training import train
from workers.errors import SourceError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_CONFIGS = Path(__file__).parents[1] / "configs"
_PACKAGES = ("coe", "numpy", "scipy", "tokenizers", "scikit-learn", "sentence-transformers", "torch")
_COUNT = 5 * BATCH  # prompts of a round: one batch of them one at a time, the others in batches
_LETTERS = "abcdefghijklmnopqrstuvwxyz"


MakePrompts = Callable[[int, int], list[str]]


@dataclass(frozen=True, slots=True)
class Subject:
    """Something that takes texts; `prompts(tokens, round)` are those of one round, all of one length."""

    name: str
    run: Callable[[Sequence[str]], object]
    prompts: MakePrompts


def measure(seconds: float, rounds: int) -> Report:
    """Trains what does not ship, then measures. Raises RouterError or SourceError."""
    machine = describe_machine(_PACKAGES)
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})  # before torch starts its threads, which inherit it
    subjects = _subjects()
    measured: dict[str, list[Round]] = {subject.name: [] for subject in subjects}
    with threadpool_limits(limits=1):  # of BLAS, whose threads are older
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}")
            for subject in subjects:
                measured[subject.name].append(_round(subject, number, seconds))
    return report(machine, measured)


def _subjects() -> list[Subject]:
    import transformers  # noqa: PLC0415 - imports torch: after the core is chosen
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - seconds, and only to measure
    from tokenizers import Tokenizer  # noqa: PLC0415 - seconds, and only to measure

    rows = read_prompts(sorted((_CONFIGS / "router-data" / "train").glob("*.jsonl")))
    heldout = [row.text for row in read_prompts(sorted((_CONFIGS / "router-data" / "heldout").glob("*.jsonl")))]
    tokenizer = Tokenizer.from_file(str(_CONFIGS / "router" / "tokenizer.json"))
    prompts, unseen = heldout_prompts(heldout, tokenizer), unseen_prompts(tokenizer)
    resolve = resolver(say)
    shipped = CategoryRouter.load(_CONFIGS / "router", resolve)
    transformers.utils.logging.disable_progress_bar()
    say("loading MiniLM on its own, fitting scikit-learn's pipeline")
    bare = SentenceTransformer(str(resolve(MINILM)), device="cpu", local_files_only=True)
    return [
        Subject("static", shipped.classify_batch, prompts),
        Subject("static, unseen words", shipped.classify_batch, unseen),
        Subject("minilm", _trained("minilm", rows, resolve).classify_batch, prompts),
        Subject("minilm-onnx", _trained("minilm-onnx", rows, resolve).classify_batch, prompts),
        Subject("bare minilm", lambda texts: bare.encode(list(texts), show_progress_bar=False), prompts),
        Subject("scikit-learn", _scikit_learn(rows), prompts),
    ]


def _trained(name: str, rows: Sequence[LabelledPrompt], resolve: Resolve) -> CategoryRouter:
    """Trained from the cache, if it can be; what is measured runs without one."""
    say(f"training with {name}")
    encoder = build_encoder(name, resolve)
    router, _ = train(rows, with_cache(encoder, encoder_cache(wanted=True)))
    return router.with_encoder(encoder)


def _scikit_learn(rows: Sequence[LabelledPrompt]) -> Callable[[Sequence[str]], object]:
    """Words and pairs of words, its defaults else: what one would write first."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # noqa: PLC0415 - seconds, and only to measure
    from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - seconds, and only to measure
    from sklearn.pipeline import make_pipeline  # noqa: PLC0415 - seconds, and only to measure

    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1_000))
    model.fit([row.text for row in rows], [row.category or "" for row in rows])
    run: Callable[[Sequence[str]], object] = model.predict_proba
    return run


def heldout_prompts(texts: Sequence[str], tokenizer: Tokenizer) -> MakePrompts:
    """Words that stand beside one another in `texts`: as often new, and as often old, as words are."""
    words = " ".join(texts).split()

    def make(tokens: int, number: int) -> list[str]:
        rng = random.Random(1_000 * number + tokens)
        starts = [rng.randrange(len(words) - tokens) for _ in range(_COUNT)]  # a word has one token or more
        return [_cut(" ".join(words[start : start + tokens]), tokens, tokenizer) for start in starts]

    return make


def unseen_prompts(tokenizer: Tokenizer) -> MakePrompts:
    """Letters at random: every word is new, which is the worst that can happen to caches of words."""

    def make(tokens: int, number: int) -> list[str]:
        rng = random.Random(1_000 * number + tokens)
        return [
            _cut(
                " ".join("".join(rng.choices(_LETTERS, k=rng.randint(3, 9))) for _ in range(tokens)), tokens, tokenizer
            )
            for _ in range(_COUNT)
        ]

    return make


def _cut(text: str, tokens: int, tokenizer: Tokenizer) -> str:
    end: int = tokenizer.encode(text, add_special_tokens=False).offsets[tokens - 1][1]
    return text[:end]


def _round(subject: Subject, number: int, seconds: float) -> Round:
    return {tokens: _speed(subject, subject.prompts(tokens, number), seconds) for tokens in LENGTHS}


def _speed(subject: Subject, prompts: Sequence[str], seconds: float) -> Speed:
    """One batch of `prompts` one at a time, then the others in batches; each for about `seconds` at most."""
    subject.run(prompts[:1])  # pays for what is loaded late
    single = _times(subject, [[prompt] for prompt in prompts[:BATCH]], seconds)
    batches = [prompts[start : start + BATCH] for start in range(BATCH, len(prompts), BATCH)]
    p50, p99 = np.quantile(single, [0.5, 0.99])
    return Speed(1_000 * float(p50), 1_000 * float(p99), BATCH / float(np.median(_times(subject, batches, seconds))))


def _times(subject: Subject, batches: Sequence[Sequence[str]], seconds: float) -> list[float]:
    """Seconds of each; none is begun when `seconds` are over."""
    times: list[float] = []
    for batch in batches:
        if sum(times) >= seconds:
            break
        start = time.perf_counter()
        subject.run(batch)
        times.append(time.perf_counter() - start)
    return times


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.router", description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--seconds", type=float, default=3.0, help="at most, of each of the four measurements of a round"
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")
    given = parser.parse_args()
    show = as_json if given.json else as_markdown
    return run(lambda: measure(given.seconds, given.rounds), show, (RouterError, SourceError))


if __name__ == "__main__":
    sys.exit(main())
