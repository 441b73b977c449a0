"""Examples of a task, as a person writes them into a file."""

from pathlib import Path

import orjson
import pytest

from coe.messages import Message
from coe.selection.shots import read_shots
from routers.errors import DataError

GOOD: dict[str, object] = {"prompt": "2 + 2?", "completion": " 2 and 2 make 4.\n", "reference": 4}
OTHER: dict[str, object] = {"prompt": "2 + 3?", "completion": "5"}


def written(folder: Path, *rows: object) -> Path:
    file = folder / "shots.jsonl"
    file.write_bytes(b"\n\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows))
    return file


def test_a_row_holds_the_question_the_reasoning_and_the_answer(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "system", "content": "Count."}, {"role": "user", "content": "?"}], "completion": "9"}
    first, second = read_shots(written(tmp_path, GOOD, chat), "number")
    assert (first.messages, first.completion, first.reference) == ((Message("user", "2 + 2?"),), "2 and 2 make 4.", "4")
    assert (second.messages[0], second.reference) == (Message("system", "Count."), "9")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"completion": "4"}, "give exactly one of `prompt` and `messages`"),
        ({"prompt": "?", "messages": [{"role": "user", "content": "?"}], "completion": "4"}, "exactly one"),
        ({"prompt": " ", "completion": "4"}, "`prompt` must hold text"),
        ({"prompt": "?"}, "`completion`: Field required"),
        ({"prompt": "?", "completion": " "}, "`completion` must hold text"),
        ({"prompt": "?", "completion": "four"}, "`completion` holds no answer that the check `number` can read"),
        ({"prompt": "?", "completion": "4", "reference": "four"}, "`reference` holds no answer"),
        ({"messages": [], "completion": "4"}, "`messages`: "),
        ({"messages": [{"role": "assistant", "content": "4"}], "completion": "4"}, "must end with the user's"),
        (b"{", "Invalid JSON"),
        (b"[]", "Input should be"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, row: object, reason: str) -> None:
    file = written(tmp_path, GOOD, row)
    with pytest.raises(DataError) as told:
        read_shots(file, "number")
    (bad,) = told.value.rows
    assert (bad.file, bad.line) == (file, 3)
    assert reason in bad.reason


def test_one_example_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds 1 example"):
        read_shots(written(tmp_path, GOOD), "exact")


def test_rows_with_one_answer_for_all_measure_nothing(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="the same answer"):
        read_shots(written(tmp_path, GOOD, GOOD), "exact")


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be read:\n.*none\.jsonl: No such file"):
        read_shots(tmp_path / "none.jsonl", "exact")


def test_every_check_reads_its_own_kind_of_answer(tmp_path: Path) -> None:
    assert len(read_shots(written(tmp_path, GOOD, OTHER), "contains")) == 2
