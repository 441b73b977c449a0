"""Blocks of `sh` taken apart: in comes a block, out come its commands, whole with continuations and heredocs."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass

from tests.docs.pages import Block, pages

_HEREDOC = re.compile(r"<<-?\s*'?(\w+)'?")
_COE = (".venv/bin/coe", "coe")


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a page. `text` may have several lines."""

    page: str
    line: int
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"

    def __str__(self) -> str:
        return f"{self.place}: {self.text.splitlines()[0]}"


def commands_of(block: Block) -> list[Command]:
    """The commands of a block in `sh`, without blank lines and lines that are comments."""
    found: list[Command] = []
    lines = iter(enumerate(block.text.splitlines(), block.line))
    for number, line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        whole = [line]
        while whole[-1].endswith("\\"):
            whole.append(next(lines)[1])
        for end in _HEREDOC.findall(line):
            while whole[-1] != end:
                whole.append(next(lines)[1])
        found.append(Command(block.page, number, "\n".join(whole)))
    return found


def documented_commands() -> list[Command]:
    """Every command of every `sh` block, page by page in the order of reading."""
    return [command for page in pages() for block in page.blocks("sh") for command in commands_of(block)]


def coe_calls(text: str) -> list[list[str]]:
    """The words after `coe` of each call of it in a command or code span; none where it calls something else."""
    calls: list[list[str]] = []
    for part in re.split(r"&&|\|\||;|\|", text.splitlines()[0] if "<<" in text else text.replace("\\\n", " ")):
        try:
            words = shlex.split(part, comments=True)
        except ValueError:  # a quote that a code span leaves open
            words = part.split()
        while words and re.fullmatch(r"[A-Z_0-9]+=\S*", words[0]):
            words = words[1:]
        if len(words) > 1 and words[0] in _COE:
            calls.append(words[1:])
    return calls
