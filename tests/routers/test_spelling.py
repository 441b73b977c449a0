"""Slips of the fingers are undone where the training texts hold the word that was meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from routers.spelling import MOST_WORDS, Spelling, fit_spelling

TEXTS = [
    "Translate the sentence into German",
    "translate this weather report",
    "how is the weather",
    "sentence, please",
]


@pytest.fixture(scope="module")
def spelling() -> Spelling:
    return fit_spelling(TEXTS)


def test_only_words_of_two_texts_or_more_are_kept(spelling: Spelling) -> None:
    assert spelling.words == ("sentence", "translate", "weather")


@pytest.mark.parametrize("slip", ["tranlsate", "translte", "transslate", "tramslate", "translates", "translat"])
def test_a_letter_left_out_doubled_changed_or_swapped_is_put_right(spelling: Spelling, slip: str) -> None:
    assert spelling.correct(f"{slip} it: Wetter") == "translate it: Wetter"


def test_white_space_and_what_is_no_word_stay_as_they_are(spelling: Spelling) -> None:
    assert spelling.correct("\n(tranlsate)\t the  wether,\u3000now\n") == "\n(translate)\t the  weather,\u3000now\n"


@pytest.mark.parametrize(
    "text", ["TRANSLATE the Weather", "ranslate", "trnslte", "tran", "x" * 5_000, "", "天气怎么样 今天"]
)
def test_known_words_other_beginnings_and_words_further_off_stay(spelling: Spelling, text: str) -> None:
    assert spelling.correct(text) == text


def test_of_several_words_the_most_frequent_was_meant() -> None:
    assert fit_spelling(["stalk"] * 3 + ["stack"] * 2).correct("stak") == "stalk"


def test_a_short_word_with_a_letter_changed_is_another_word_but_for_the_next_key() -> None:
    known = fit_spelling(["root"] * 3)
    assert known.correct("the rook, the roto, the rooot, the roor") == "the rook, the root, the root, the root"


def test_words_of_a_vocabulary_are_known_and_slips_become_them_where_no_trained_word_is_near() -> None:
    known = fit_spelling(TEXTS, ["paris", "feather", "colour", "of", "x" * 30])
    assert known.words == ("sentence", "translate", "weather", "paris", "feather", "colour")
    assert known.correct("Paris has cokour, and feathre, and wfather") == "Paris has colour, and feather, and weather"


def test_the_words_kept_are_bounded() -> None:
    names = ["".join(chr(97 + int(digit)) for digit in f"{number:06}") for number in range(MOST_WORDS + 10)]
    assert len(fit_spelling([" ".join(names)] * 2).words) == MOST_WORDS


@given(st.sampled_from(["translate", "sentence", "weather"]), st.integers(1, 6), st.characters(categories=["Ll"]))
def test_any_changed_letter_but_the_first_is_put_right(word: str, place: int, letter: str) -> None:
    slip = word[:place] + letter.lower() + word[place + 1 :]
    assert fit_spelling(TEXTS).correct(slip) == word


@given(st.text(max_size=200))
def test_correcting_twice_changes_nothing_more(text: str) -> None:
    known = fit_spelling(TEXTS)
    once = known.correct(text)
    assert known.correct(once) == once
