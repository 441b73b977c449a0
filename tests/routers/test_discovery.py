"""New categories from rejected prompts, on planted topics: real routers, real encoder, known truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from routers.discovery import Discovery, DiscoverySettings, discover
from routers.encoders.static import StaticEncoder, StaticTable
from routers.errors import DataError
from routers.grouping import group
from routers.naming import name_groups
from routers.prompts import LabelledPrompt
from routers.router import CategoryRouter
from routers.training import train
from tests.routers.conftest import COMMON, UNRELATED, WORDS

_GARDEN = "bulb compost flower hedge lawn mulch petal plant prune rose seed shovel soil sprout weed"
_SAILING = "anchor boat buoy captain deck harbour jib keel mast port rudder sail starboard tide wind"
_CHESS = "bishop board castle checkmate endgame gambit king knight opening pawn pin queen rook stalemate tempo"
NEW = {"garden": _GARDEN.split(), "sailing": _SAILING.split(), "chess": _CHESS.split()}


@pytest.fixture(scope="module")
def router() -> CategoryRouter:
    """Knows cooking, law and maths; its encoder also tells the three topics of `NEW` apart."""
    rng = np.random.default_rng(0)
    topics = {**WORDS, **NEW}
    vocabulary = ["[UNK]", *COMMON, *UNRELATED, *(word for words in topics.values() for word in words)]
    vectors = 0.05 * rng.normal(size=(len(vocabulary), 32))
    for words in topics.values():
        centre = rng.normal(size=32)
        for word in words:
            vectors[vocabulary.index(word)] = centre + 0.6 * rng.normal(size=32)
    for word in UNRELATED:
        vectors[vocabulary.index(word)] = 1.2 * rng.normal(size=32)
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    encoder = StaticEncoder(StaticTable.quantise(vectors), tokenizer, "test:topics")
    rows = [LabelledPrompt(text, name, labelled=True) for name, words in WORDS.items() for text in prompts(words, 60)]
    return train(rows, encoder)[0]


def prompts(words: Sequence[str], count: int, seed: int = 0) -> list[str]:
    rng = np.random.default_rng([seed, *map(ord, words[0])])
    return [" ".join([*rng.choice(COMMON, 3), *rng.choice(words, 4), *rng.choice(COMMON, 2)]) for _ in range(count)]


def scatter(count: int) -> list[str]:
    """Each about something else."""
    rng = np.random.default_rng(7)
    return [" ".join([*rng.choice(COMMON, 4), *rng.choice(UNRELATED, 2)]) for _ in range(count)]


def topic_of(text: str) -> str:
    return next((name for name, words in {**WORDS, **NEW}.items() if {*text.split()} & {*words}), "scatter")


@pytest.fixture(scope="module")
def found(router: CategoryRouter) -> Discovery:
    """Three new topics of different size, traffic of known ones, and prompts about this and that."""
    new = [text for count, words in zip((60, 40, 25), NEW.values(), strict=True) for text in prompts(words, count)]
    known = [text for words in WORDS.values() for text in prompts(words, 30, seed=5)]
    return discover([*known, *new, *scatter(15)], router)


def test_planted_topics_come_out_as_groups_of_their_own(found: Discovery) -> None:
    topics = [{topic_of(text) for text in proposal.prompts} for proposal in found.proposals]
    assert topics == [{"garden"}, {"sailing"}, {"chess"}]
    assert [len(proposal.prompts) for proposal in found.proposals] == [60, 40, 25]


def test_what_is_known_is_not_looked_at_and_what_fits_nowhere_is_scattered(found: Discovery) -> None:
    assert found.known >= 80  # of 90; the router rejects a few in-scope prompts by design
    assert {topic_of(text) for text in found.scattered} <= {"scatter", *WORDS}
    assert len([text for text in found.scattered if topic_of(text) == "scatter"]) == 15
    everywhere = [*found.scattered, *(text for proposal in found.proposals for text in proposal.prompts)]
    assert len(everywhere) == len(set(everywhere)) == found.given - found.repeats - found.known


def test_a_proposal_tells_what_it_is_about_and_what_it_is_close_to(found: Discovery, router: CategoryRouter) -> None:
    for proposal, words in zip(found.proposals, NEW.values(), strict=True):
        assert {*proposal.name.split("-")} <= {*words}
        assert 0.3 < proposal.cohesion <= 1
        answers = router.classify_batch(proposal.prompts)
        mean = {name: np.mean([answer.probabilities[name] for answer in answers]) for name in router.categories}
        assert proposal.nearest == max(mean, key=lambda name: mean[name])
        assert proposal.nearest_probability == pytest.approx(mean[proposal.nearest])
        vectors = router.encoder.encode(proposal.prompts)
        central = vectors @ vectors.mean(axis=0)
        assert central[0] == pytest.approx(central.max(), rel=0.02)
        assert central[:5].mean() > central[-5:].mean()


def test_the_same_prompts_give_the_same_proposals(router: CategoryRouter) -> None:
    texts = [text for words in NEW.values() for text in prompts(words, 30)] + scatter(10)
    assert discover(texts, router) == discover(texts, router)


def test_repeats_count_once(router: CategoryRouter) -> None:
    texts = prompts(NEW["garden"], 30)
    again = discover([*texts, *(f" {text.upper()}  " for text in texts), "", "  "], router)
    once = discover(texts, router)
    assert (again.proposals, again.scattered) == (once.proposals, once.scattered)
    assert again.repeats == once.repeats + 32


def test_one_topic_is_one_proposal(router: CategoryRouter) -> None:
    found = discover(prompts(NEW["chess"], 50), router)
    assert [{topic_of(text) for text in proposal.prompts} for proposal in found.proposals] == [{"chess"}]
    assert len(found.proposals[0].prompts) >= 45


def test_prompts_about_this_and_that_are_no_category(router: CategoryRouter) -> None:
    texts = [f"tell me what the {word} is" for word in UNRELATED]
    found = discover(texts, router, DiscoverySettings(rejected_only=False))
    assert (found.proposals, len(found.scattered)) == ((), len(UNRELATED))


def test_known_traffic_is_looked_at_on_request(router: CategoryRouter) -> None:
    texts = [text for words in WORDS.values() for text in prompts(words, 30, seed=5)]
    found = discover(texts, router, DiscoverySettings(rejected_only=False))
    assert found.known == 0
    assert {proposal.nearest for proposal in found.proposals} == set(WORDS)


@pytest.mark.parametrize(
    "texts", [[], ["one"], ["rose soil"] * 50, prompts(NEW["garden"], 9), ["🙂"] * 3, ["你好", "再见"]]
)
def test_too_few_prompts_are_no_category_and_no_crash(router: CategoryRouter, texts: list[str]) -> None:
    found = discover(texts, router)
    assert found.proposals == ()
    assert len(found.scattered) + found.known + found.repeats == found.given == len(texts)


def test_prompts_that_the_encoder_cannot_tell_apart_are_one_group_without_a_telling_name(
    router: CategoryRouter,
) -> None:
    found = discover([f"🙂{i}" for i in range(40)], router, DiscoverySettings(rejected_only=False))
    assert [(proposal.name, len(proposal.prompts)) for proposal in found.proposals] == [("new", 40)]


@pytest.mark.parametrize(
    ("settings", "message"),
    [(DiscoverySettings(min_size=2), "needs 4 prompts or more"), (DiscoverySettings(max_groups=0), "One group")],
)
def test_settings_that_cannot_be_met_are_told(
    router: CategoryRouter, settings: DiscoverySettings, message: str
) -> None:
    with pytest.raises(DataError, match=message):
        discover([], router, settings)


@pytest.mark.parametrize("count", [2, 3, 6])
def test_the_number_of_groups_is_found(count: int) -> None:
    rng = np.random.default_rng(count)
    centres = rng.normal(size=(count, 16))
    truth = np.repeat(np.arange(count), 40)
    vectors = centres[truth] + 0.35 * rng.normal(size=(len(truth), 16))
    grouping = group((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), 12, seed=0)
    assert len({*zip(truth, grouping.labels, strict=True)}) == len({*grouping.labels}) == count
    assert grouping.silhouettes is not None
    assert grouping.silhouettes.mean() > 0.5


@pytest.mark.parametrize("seed", range(6))
def test_there_are_no_groups_where_there_is_no_structure(seed: int) -> None:
    """A stretched cloud: k-means splits it along its length, and its silhouette is far from 0."""
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(200, 16)) * np.geomspace(3, 0.3, 16)
    grouping = group((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), 12, seed=0)
    assert grouping.silhouettes is None
    assert not grouping.labels.any()


def test_names_are_made_of_words_that_tell_and_that_two_prompts_share() -> None:
    groups = [["book a flight", "cheap flight", "flight to rome for mrs smith"], ["the roses", "my roses", "roses"]]
    assert name_groups(groups, ["cheap wine", "cheap talk"], set()) == ["flight", "roses"]


def test_no_name_is_given_twice_or_taken_from_a_category() -> None:
    groups = [["a red rose", "red rose"], ["the red rose", "rose red"], ["🙂", "🙂🙂"], ["12", "12"]]
    assert name_groups(groups, [], {"red-rose"}) == ["red-rose-2", "red-rose-3", "new", "new-2"]
    assert name_groups([], ["what is left"], set()) == []
