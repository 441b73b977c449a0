"""The same request, as another person might have sent it."""

import random
import re

import pytest

from benchmarks.perturbations import PERTURBATIONS, SYSTEM_PROMPTS, perturbed, typos

PROMPTS = (
    "What is the exchange rate between the euro and the dollar?",
    "I'm looking for a large pan. How do I find one that lasts.",
    "Übersetze bitte den Satz: Der Zug hat heute Verspätung!",
    "translate 'good night' for me\n\ninto Danish",
)


@pytest.mark.parametrize("name", PERTURBATIONS)
@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_perturbation_changes_the_text_and_is_the_same_each_time(name: str, prompt: str) -> None:
    changed = perturbed(prompt, name, 0)
    assert changed != prompt
    assert changed == perturbed(prompt, name, 0)


@pytest.mark.parametrize("name", sorted(PERTURBATIONS.keys() - {"typos", "paraphrase"}))
@pytest.mark.parametrize("prompt", PROMPTS)
def test_the_words_of_the_request_stay(name: str, prompt: str) -> None:
    words = re.findall(r"\w+", prompt.lower())
    assert set(words) <= set(re.findall(r"\w+", perturbed(prompt, name, 0).lower()))


def test_another_seed_slips_elsewhere() -> None:
    assert len({perturbed(PROMPTS[0], "typos", seed) for seed in range(10)}) > 5


def test_one_word_in_eight_is_broken_and_stays_close_to_what_it_was() -> None:
    prompt = " ".join(["please", "describe", "the", "longest", "river", "of", "every", "continent"] * 4)
    broken = [
        (word, other)
        for word, other in zip(prompt.split(), typos(prompt, random.Random(0)).split(), strict=True)
        if word != other
    ]
    assert 1 <= len(broken) <= 4
    assert all(word[0] == other[0] and abs(len(word) - len(other)) <= 1 for word, other in broken)


@pytest.mark.parametrize("name", PERTURBATIONS)
def test_no_text_is_too_short_or_too_strange(name: str) -> None:
    for text in ("", "?", "a", "你好", "🙂", "x" * 5_000):
        assert isinstance(perturbed(text, name, 0), str)


def test_what_does_not_apply_leaves_the_text_alone() -> None:
    assert perturbed("2 + 2", "typos", 0) == "2 + 2"
    assert perturbed("hello", "lower case", 0) == "hello"


def test_pasted_system_prompts_are_of_many_lengths_and_stand_before_the_request() -> None:
    lengths = [len(prompt.split()) for prompt in SYSTEM_PROMPTS]
    assert min(lengths) < 20
    assert max(lengths) > 60
    assert perturbed("how tall is it", "system prompt", 0).endswith("how tall is it")
