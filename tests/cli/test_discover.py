"""`coe discover` with the router that ships: prompts in files, proposals on stdout and in a file of rows."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from routers.prompts import read_prompts
from tests.cli.commands import Coe

ROUTER = Path(__file__).parents[2] / "configs" / "router"
ANIMALS = ("cat", "dog", "horse", "parrot", "rabbit", "hamster", "pony", "goat", "tortoise", "canary")
QUESTIONS = ("How often must I feed my {} pet?", "Why does my pet {} not eat?", "Can a {} be a pet in a small flat?")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    if not ROUTER.is_dir():
        pytest.skip("the router that ships is not here")
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": question.format(animal)} for question in QUESTIONS for animal in ANIMALS]
    path.write_bytes(b"\n".join(map(orjson.dumps, [*rows, rows[0]])))
    return path


def test_proposals_are_shown_with_examples_and_written_as_rows(coe: Coe, data: Path, tmp_path: Path) -> None:
    arguments = ("discover", "--router", str(ROUTER), "--data", str(data), "--all")
    shown = coe(*arguments, "--out", str(tmp_path / "proposed.jsonl"))
    assert shown.code == 0
    assert "pet" in shown.out
    assert "31 prompts: 1 repeated, 0 of a known category, 30 looked at" in shown.err
    written = read_prompts([tmp_path / "proposed.jsonl"])
    told = orjson.loads(coe(*arguments, "--json").out)
    assert [(row.text, row.category) for row in written] == [
        (prompt, proposal["name"]) for proposal in told["proposals"] for prompt in proposal["prompts"]
    ]
    assert told.keys() == {"proposals", "scattered", "given", "repeats", "known", "silhouette"}


def test_a_file_that_exists_is_left_alone(coe: Coe, data: Path) -> None:
    before = data.read_bytes()
    ended = coe("discover", "--router", str(ROUTER), "--data", str(data), "--out", str(data))
    assert (ended.code, ended.out) == (2, "")
    assert "is left alone: name another file for `--out`" in ended.err
    assert data.read_bytes() == before


def test_too_few_prompts_are_told_with_a_remedy(coe: Coe, data: Path, tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text('{"prompt": "one"}\n')
    arguments = ("discover", "--router", str(ROUTER), "--data", str(tmp_path / "few.jsonl"), "--all")
    ended = coe(*arguments, "--out", str(tmp_path / "none.jsonl"))
    assert (ended.code, ended.out) == (0, "")
    assert "collect more" in ended.err
    assert not (tmp_path / "none.jsonl").exists()


def test_bad_input_is_told(coe: Coe, data: Path, tmp_path: Path) -> None:
    absent = coe("discover", "--router", str(tmp_path / "none"), "--data", str(data))
    assert absent.code == 2
    assert "coe train-router" in absent.err
    small = coe("discover", "--router", str(ROUTER), "--data", str(data), "--min-size", "1")
    assert small.code == 2
    assert "needs 4 prompts or more" in small.err
