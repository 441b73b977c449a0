"""When an answer is right."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coe.selection.checks import Check, final_answer, is_right


@pytest.mark.parametrize(
    ("check", "answer", "reference", "right"),
    [
        ("exact", " Paris.\n", "paris", True),
        ("exact", "SELECT  a\nFROM t;", "select a from t", True),
        ("exact", "It is Paris", "Paris", False),
        ("contains", "The capital is Paris, of course.", "Paris", True),
        ("contains", "It is 14.", "4", False),
        ("contains", "cat(s)", "cat(s)", True),
        ("number", "3 + 4 makes 7.", "7", True),
        ("number", "In all $1,200.50", "1200.5", True),
        ("number", "5-3 is 2, or -2?", "-2", True),
        ("number", "so 5-3", "3", True),
        ("number", "2e3", "2000", True),
        ("number", "none", "7", False),
        ("number", "file v2", "2", False),
        ("json", '{"b": 1.0, "a": [true]}', '{"a": [true], "b": 1}', True),
        ("json", 'Here:\n```json\n{"a": 1}\n```\nDone {really}.', '{"a": 1}', True),
        ("json", 'It is {"a": 1}, I think', '{"a": 1}', True),
        ("json", '{"a": true}', '{"a": 1}', False),
        ("json", "[1, 2]", "[2, 1]", False),
        ("json", "no value", '{"a": 1}', False),
    ],
)
def test_an_answer_is_compared_by_its_meaning(check: Check, answer: str, reference: str, right: bool) -> None:
    assert is_right(check, answer, reference) is right


@pytest.mark.parametrize("check", ["exact", "contains", "number", "json"])
def test_a_reference_that_says_nothing_is_never_met(check: Check) -> None:
    assert not is_right(check, "", "")
    assert not is_right(check, "anything", " . ")


@given(st.text(), st.sampled_from(["exact", "number", "json"]))
def test_equal_final_answers_are_what_is_right(text: str, check: Check) -> None:
    assert is_right(check, text, text) is bool(final_answer(check, text))


@given(st.integers() | st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1e6, max_value=1e6))
def test_a_number_is_read_however_it_is_written(number: object) -> None:
    assert is_right("number", f"The result is {number:,}.", str(number))


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=9))
def test_json_is_found_among_words(value: object) -> None:
    written = json.dumps([value])
    assert is_right("json", f"The answer: {written} and that is all.", written)
