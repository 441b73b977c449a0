import gzip
from pathlib import Path

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routers.errors import DataError
from routers.prompts import MAX_CHARS, SHORT_CHARS, clip, last_words, parse_prompt, read_prompts, user_turns


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
        (b'{"prompt": "x", "category": "two\\nlines"}', "`category` must be a non-empty string of one line"),
        (b'{"prompt": "x", "outcomes": [1]}', "`outcomes`"),
        (b'{"prompt": "x", "outcomes": {"a": 1.5}}', "'a' must be a number in [0, 1], not 1.5"),
        (b'{"prompt": "x", "outcomes": {"a": "yes"}}', "'a' must be a number"),
        (b'{"prompt": "x", "outcomes": {"a": -0.1}}', "'a' must be a number in [0, 1], not -0.1"),
        (b'{"prompt": "x", "outcomes": {"a": null}}', "'a' must be a number"),
        (b'{"prompt": "x", "outcomes": {"a": NaN}}', "not JSON"),
        (b'{"prompt": "x", "outcomes": {"a": 1e999}}', "not JSON"),
        (b'{"prompt": "\xff"}', "not JSON"),
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


def test_what_the_user_said_is_read_in_order_and_nothing_else() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": " What is the capital of France? "},
        {"role": "assistant", "content": "Paris."},
        {"role": "user", "content": [{"type": "text", "text": "And"}, {"type": "image_url"}, {"type": "text"}]},
        {"role": "user", "content": None},
        {"role": "user", "content": [{"type": "text", "text": "of"}, {"type": "text", "text": "Spain?"}]},
    ]
    assert user_turns(messages) == ("What is the capital of France?", "And", "of\nSpain?")


def test_a_long_last_message_stands_alone() -> None:
    long = "Write a function in Python that merges two sorted lists, and explain what it costs in time and memory."
    assert last_words(["What is the capital of France?", long]) == long


def test_a_short_follow_up_is_read_with_what_came_before() -> None:
    proof = "Prove that there are infinitely many primes, step by step, as for a student of the first year."
    assert last_words(["Good morning!", proof, "And in French?"]) == f"{proof}\nAnd in French?"
    assert last_words(["a", "b", "c"]) == "a\nb\nc"


@given(st.lists(st.text(min_size=1, max_size=60), min_size=1, max_size=8))
def test_of_short_turns_no_more_is_read_than_is_needed(turns: list[str]) -> None:
    words = last_words(turns)
    assert words.endswith(turns[-1])
    assert "\n".join(turns).endswith(words)
    assert len(words) >= min(len("\n".join(turns)), SHORT_CHARS)
    assert len(words) <= 2 * SHORT_CHARS + len(turns)


def test_a_very_long_prompt_keeps_head_and_tail_within_a_bound() -> None:
    text = "head " + "x" * 100_000 + " tail"
    (clipped,) = user_turns([{"role": "user", "content": text}])
    assert len(clipped) <= MAX_CHARS
    assert clipped.startswith("head ")
    assert clipped.endswith(" tail")
    row = parse_prompt(orjson.dumps({"prompt": text}))
    assert (row.text, row.turns) == (clipped, (clipped,))


def test_a_row_of_a_chat_keeps_its_turns() -> None:
    messages = [{"role": "user", "content": "Boil an egg."}, {"role": "user", "content": "How long?"}]
    row = parse_prompt(orjson.dumps({"messages": messages}))
    assert (row.text, row.turns) == ("Boil an egg.\nHow long?", ("Boil an egg.", "How long?"))


@pytest.mark.parametrize("text", ["把鸡蛋煮熟要多久", "كم من الوقت يستغرق سلق البيضة؟", "🥚⏲️❓", "e\u0301\u200b\ud7ff"])
def test_any_script_is_kept_as_it_is(text: str) -> None:
    assert parse_prompt(orjson.dumps({"prompt": text, "category": text, "outcomes": {text: 1}})).text == text


def test_a_yes_or_no_is_an_outcome() -> None:
    row = parse_prompt(b'{"prompt": "x", "outcomes": {"right": true, "wrong": false}}')
    assert row.outcomes == {"right": 1.0, "wrong": 0.0}


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
