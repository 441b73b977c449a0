import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from coe.finetune.rows import fingerprint, read_rows
from coe.messages import Message
from routers.errors import DataError

WriteRows = Callable[..., Path]


def test_both_forms_of_a_row_say_what_is_given_and_what_is_learnt(write_rows: WriteRows) -> None:
    turns = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
    plain, chat = read_rows([write_rows({"prompt": "2 + 2?", "completion": "4"}, {"messages": turns})])
    assert plain.messages == chat.messages == (Message("user", "2 + 2?"),)
    assert plain.completion == chat.completion == "4"


def test_of_a_longer_chat_the_last_message_is_learnt(write_rows: WriteRows) -> None:
    roles = ["system", "user", "assistant", "user", "assistant"]
    (row,) = read_rows([write_rows({"messages": [{"role": role, "content": role} for role in roles]})])
    assert [message.role for message in row.messages] == roles[:-1]
    assert row.completion == "assistant"


def test_a_system_message_is_put_before_rows_that_have_none(write_rows: WriteRows) -> None:
    own = [
        {"role": "system", "content": "own"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
    ]
    rows = read_rows([write_rows({"prompt": "q", "completion": "a"}, {"messages": own})], system="given")
    assert [row.messages[0] for row in rows] == [Message("system", "given"), Message("system", "own")]


def test_compressed_files_and_further_keys_are_read(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps({"prompt": "q", "completion": "a", "category": "sql"}).encode()))
    assert len(read_rows([path])) == 1


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("{", "not JSON"),
        ([], "must be a JSON object"),
        ({"prompt": "q"}, "are missing"),
        ({"prompt": " ", "completion": "a"}, "`prompt` is empty"),
        ({"prompt": "q", "completion": ""}, "nothing to learn"),
        ({"prompt": 1, "completion": "a"}, "must be strings"),
        ({"prompt": "q", "completion": "a", "messages": []}, "not both"),
        ({"messages": [{"role": "user", "content": "q"}]}, "needs a user's and an assistant's"),
        ({"messages": [{"role": "user", "content": "q"}] * 2}, "last message must be the assistant's"),
        ({"messages": [{"role": "assistant", "content": "q"}] * 2}, "no user's message"),
        ({"messages": [{"role": "tool", "content": "q"}, {"role": "assistant", "content": "a"}]}, "role 'tool'"),
        ({"messages": [{"role": "user", "content": None}, {"role": "assistant", "content": "a"}]}, "message 1"),
    ],
)
def test_a_bad_row_is_named_by_line_and_reason(row: object, reason: str, write_rows: WriteRows) -> None:
    path = write_rows({"prompt": "q", "completion": "a"}, "", row)
    with pytest.raises(DataError) as caught:
        read_rows([path])
    assert f"{path}:3: " in str(caught.value)
    assert reason in str(caught.value)


def test_an_empty_file_is_told(write_rows: WriteRows) -> None:
    with pytest.raises(DataError, match="holds no row"):
        read_rows([write_rows()])


def test_the_fingerprint_is_of_what_is_learnt_and_not_of_where_it_stands(write_rows: WriteRows) -> None:
    first = read_rows([write_rows({"prompt": "q", "completion": "a"}, name="one.jsonl")])
    again = read_rows([write_rows("", {"prompt": "q", "completion": "a", "id": "7"}, name="two.jsonl")])
    other = read_rows([write_rows({"prompt": "q", "completion": "b"}, name="three.jsonl")])
    assert fingerprint(first) == fingerprint(again) != fingerprint(other)
