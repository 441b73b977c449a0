"""Write a domain's rows, or score answers to them: `python -m benchmarks.domains write|score --help`."""

import json
import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import cast

from benchmarks.domains.catalogue import DOMAINS
from benchmarks.domains.task import Split, Task


def main() -> int:
    arguments = _parser().parse_args()
    try:
        tasks = _tasks(arguments)
        if arguments.command == "write":
            Path(arguments.out).write_text("".join(f"{_row(task)}\n" for task in tasks), encoding="utf-8")
            return 0
        answers = _answers(Path(arguments.answers))
        right = sum(DOMAINS[task.domain].score(task, answers.get(task.id, "")) for task in tasks)
    except (OSError, ValueError, KeyError) as error:
        print(f"benchmarks.domains: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"domain": arguments.domain, "n": len(tasks), "right": right, "share": right / len(tasks)}))
    return 0


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m benchmarks.domains", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    write = commands.add_parser("write", help='write rows {"prompt", "completion", "category", "id"} as JSONL')
    score = commands.add_parser("score", help='score a JSONL of {"id", "answer"} rows; an id that is missing is wrong')
    for command in (write, score):
        command.add_argument("--domain", required=True, choices=tuple(DOMAINS))
        command.add_argument("--split", choices=("train", "heldout"), default="heldout")
        command.add_argument("--rows", type=int, default=100)
        command.add_argument("--seed", type=int, default=0)
    write.add_argument("--out", required=True)
    score.add_argument("--answers", required=True)
    return parser


def _tasks(arguments: Namespace) -> list[Task]:
    split = cast("Split", arguments.split)
    return DOMAINS[arguments.domain].generate(split, arguments.rows, arguments.seed)


def _row(task: Task) -> str:
    row = {"prompt": task.prompt, "completion": task.completion, "category": task.domain, "id": task.id}
    return json.dumps(row, ensure_ascii=False)


def _answers(path: Path) -> dict[str, str]:
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return {row["id"]: row["answer"] for row in rows}


if __name__ == "__main__":
    sys.exit(main())
