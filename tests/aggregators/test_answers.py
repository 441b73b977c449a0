"""Answers that say the same have the same form, however they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.aggregators.answers import AnswerKind, comparable, grouped, marked, unfenced


@pytest.mark.parametrize(
    ("kind", "texts", "form"),
    [
        (
            "auto",
            ["B", " b ", "(B)", "B.", "**B**", "B) Paris", "The answer is (B).", r"so \boxed{B}", r"\boxed{\text{B}}"],
            "B",
        ),
        (
            "auto",
            ["It is 4 of 9.\nAnswer: B", "I think that the correct option is: **B**", "2 + 2\n#### B"],
            "B",
        ),
        ("auto", ["1,200", "1200", "$1200.00", "1.2e3", "The final answer is 1200."], "1.2E+3"),
        ("auto", ['{"a": 1, "b": 2}', '{"b": 2.0,\n "a": 1}', '```json\n{"b": 2, "a": 1}\n```'], '{"a": 1, "b": 2}'),
        ("auto", ["Paris", "paris.", "  PARIS ", "The answer is Paris.", "```\nParis\n```"], "paris"),
        ("option", ["B", "I would choose B", "A plain reading leaves (B)", "Answer: B, since (A) is wrong"], "B"),
        ("option", ["(I)", "Answer: I", "I."], "I"),
        ("number", ["There are 3 and so 12", "12", "Answer: 12 apples"], "1.2E+1"),
        ("json", ['Here it is: {"a": [1]}, as asked', '{"a": [1]}'], '{"a": [1]}'),
        ("text", ["SELECT 1;", "select  1"], "select 1"),
    ],
)
def test_different_ways_to_say_the_same_have_one_form(kind: AnswerKind, texts: list[str], form: str) -> None:
    assert {comparable(text, kind) for text in texts} == {form}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("auto", ""),
        ("auto", " \n "),
        ("text", "```\n\n```"),
        ("option", "Good question. I cannot tell: a lot speaks for either"),
        ("number", "none at all"),
        ("json", "{broken"),
    ],
)
def test_what_holds_no_answer_has_no_form(kind: AnswerKind, text: str) -> None:
    assert comparable(text, kind) is None


def test_a_sentence_is_no_option_for_starting_with_a_letter() -> None:
    assert comparable("A cat") == "a cat"
    assert comparable("x = 3") == "x = 3"


def test_the_last_marked_answer_counts() -> None:
    assert marked("The answer is 3. No: the answer is 4.") == "4."
    assert marked("Nothing is said") is None


def test_code_inside_a_text_is_left_where_it_is() -> None:
    text = "Use this:\n```python\nx = 1\n```\nand be happy"
    assert unfenced(text) == text


@given(st.text(max_size=60))
def test_any_text_is_read_and_a_form_stays_what_it_is(text: str) -> None:
    form = comparable(text, "text")
    assert form is None or comparable(form, "text") == form
    for kind in ("auto", "option", "number", "json"):
        comparable(text, kind)


def test_groups_are_named_by_their_first_text_and_silence_has_none() -> None:
    assert grouped(["B", "(b)", "C", "", "B."]) == [0, 0, 2, None, 0]


def test_free_texts_are_grouped_by_a_similarity_and_chains_are_not_followed() -> None:
    near = grouped(["10", "14", "18"], "number", similar=lambda a, b: abs(int(a) - int(b)) <= 5)
    assert near == [0, 0, 2]
