"""The command writes rows that training reads, and scores rows of answers."""

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.domains", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_rows_are_written_and_their_completions_score_full_marks(tmp_path: Path) -> None:
    rows_file, answers_file = tmp_path / "rows.jsonl", tmp_path / "answers.jsonl"
    draw = ("--domain", "sql", "--split", "heldout", "--rows", "20", "--seed", "1")
    assert _run("write", *draw, "--out", str(rows_file)).returncode == 0
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()]
    assert [set(row) for row in rows] == [{"prompt", "completion", "category", "id"}] * 20
    assert {row["category"] for row in rows} == {"sql"}

    answers = [{"id": row["id"], "answer": row["completion"]} for row in rows[:15]]
    answers_file.write_text("".join(f"{json.dumps(answer)}\n" for answer in answers))
    scored = _run("score", *draw, "--answers", str(answers_file))
    assert json.loads(scored.stdout) == {"domain": "sql", "n": 20, "right": 15, "share": 0.75}


def test_a_split_that_does_not_exist_is_bad_input(tmp_path: Path) -> None:
    refused = _run("write", "--domain", "general", "--split", "train", "--out", str(tmp_path / "rows.jsonl"))
    assert refused.returncode == 2
    assert "heldout split only" in refused.stderr
