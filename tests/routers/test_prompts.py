import gzip
import time
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routers.errors import DataError
from routers.prompts import MAX_CHARS, clip, parse_prompt, prompt_text, read_prompts


def test_a_row_keeps_all_that_the_format_names() -> None:
    row = parse_prompt(
        b'{"prompt": "2+2?", "category": "maths", "outcomes": {"a": 1, "b": 0.5}, "answers": {"a": "4"}, '
        b'"reference": "4", "id": "x/1"}'
    )
    assert (row.text, row.category, row.labelled) == ("2+2?", "maths", True)
    assert row.outcomes == {"a": 1.0, "b": 0.5}
    assert row.answers == {"a": "4"}
    assert (row.reference, row.id) == ("4", "x/1")


def test_no_category_and_a_null_category_differ() -> None:
    unlabelled, outside = parse_prompt(b'{"prompt": "x"}'), parse_prompt(b'{"prompt": "x", "category": null}')
    assert (unlabelled.labelled, unlabelled.out_of_scope) == (False, False)
    assert (outside.labelled, outside.out_of_scope) == (True, True)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"nonsense", "not JSON"),
        (b"[1]", "JSON object"),
        (b"{}", "is missing"),
        (b'{"prompt": "  "}', "non-empty"),
        (b'{"prompt": 3}', "non-empty"),
        (b'{"prompt": "x", "messages": []}', "not both"),
        (b'{"messages": []}', "no user message"),
        (b'{"messages": "hello"}', "must be a list"),
        (b'{"messages": [3]}', "a message must be"),
        (b'{"messages": [{"role": "user", "content": 3}]}', "`content`"),
        (b'{"prompt": "x", "category": 3}', "`category`"),
        (b'{"prompt": "x", "category": ""}', "`category`"),
        (b'{"prompt": "x", "outcomes": [1]}', "`outcomes`"),
        (b'{"prompt": "x", "outcomes": {"a": 1.5}}', "'a' must be a number in [0, 1], not 1.5"),
        (b'{"prompt": "x", "outcomes": {"a": "yes"}}', "'a' must be a number"),
        (b'{"prompt": "x", "answers": "yes"}', "`answers`"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_reason(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "good"}\n\n' + line + b"\n")
    with pytest.raises(DataError) as caught:
        read_prompts([path])
    assert [(row.file, row.line) for row in caught.value.rows] == [(path, 3)]
    assert f"{path}:3: " in str(caught.value)
    assert reason in str(caught.value)


def test_all_bad_rows_are_counted_and_twenty_are_shown(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"{}\n" * 30)
    with pytest.raises(DataError) as caught:
        read_prompts([path])
    assert len(caught.value.rows) == 30
    assert str(caught.value).count(str(path)) == 20
    assert "and 10 more" in str(caught.value)


def test_files_are_read_in_order_plain_and_compressed(tmp_path: Path) -> None:
    plain, packed = tmp_path / "a.jsonl", tmp_path / "b.jsonl.gz"
    plain.write_bytes(b'{"prompt": "one"}\n')
    packed.write_bytes(gzip.compress(b'{"prompt": "two"}\n{"prompt": "three"}'))
    assert [row.text for row in read_prompts([plain, packed])] == ["one", "two", "three"]


@pytest.mark.parametrize("name", ["missing.jsonl", "empty.jsonl", "torn.jsonl.gz", "plain.jsonl.gz"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "torn.jsonl.gz").write_bytes(gzip.compress(b'{"prompt": "two"}\n' * 50)[:-12])
    (tmp_path / "plain.jsonl.gz").write_bytes(b'{"prompt": "x"}\n')
    with pytest.raises(DataError, match=name):
        read_prompts([tmp_path / name])


def test_the_last_user_message_is_classified() -> None:
    long = "Write a function in Python that merges two sorted lists, and explain what it costs in time and memory."
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "What is the capital of France?"},
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": [{"type": "text", "text": long}, {"type": "image_url", "image_url": {"url": "x"}}]},
    ]
    assert prompt_text(messages) == long


def test_a_short_follow_up_is_read_with_what_came_before() -> None:
    messages = [
        {"role": "user", "content": "Prove that there are infinitely many primes, step by step, as for a student."},
        {"role": "assistant", "content": "Suppose that there are finitely many."},
        {"role": "user", "content": "And in French?"},
    ]
    text = prompt_text(messages)
    assert text.startswith("Prove that")
    assert text.endswith("And in French?")
    assert "finitely many." not in text


def test_a_very_long_prompt_keeps_head_and_tail_within_a_bound() -> None:
    text = "head " + "x" * 100_000 + " tail"
    start = time.perf_counter()
    clipped = prompt_text([{"role": "user", "content": text}])
    assert time.perf_counter() - start < 0.1
    assert len(clipped) <= MAX_CHARS
    assert clipped.startswith("head ")
    assert clipped.endswith(" tail")


@given(st.text(), st.integers(min_value=8, max_value=50))
def test_clip_keeps_within_its_limit_and_leaves_short_texts_alone(text: str, limit: int) -> None:
    assert len(clip(text, limit)) <= limit
    if len(text) <= limit:
        assert clip(text, limit) == text


@given(
    st.dictionaries(st.text(max_size=8), st.recursive(st.none() | st.booleans() | st.text(), st.lists, max_leaves=5))
)
def test_any_json_object_is_a_row_or_a_stated_fault(row: dict[str, object]) -> None:
    try:
        parsed = parse_prompt(orjson.dumps(row))
    except ValueError as error:
        assert str(error)  # noqa: PT017 - either outcome is fine
    else:
        assert parsed.text
