"""README.md and docs/*.md as the tests read them: code blocks, code spans, links and anchors.

In comes Markdown, out come typed pieces with the lines that they stand at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
LANGUAGES = frozenset({"", "json", "python", "sh", "text", "yaml"})
_FENCE = re.compile(r"^( *)```(.*)$")
_SPAN = re.compile(r"(?<!`)`([^`]+)`(?!`)")
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^(#{1,6}) (.+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, its text, and the line of its first line of text."""

    page: str
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.page}:{self.line}"


@dataclass(frozen=True, slots=True)
class Page:
    """One file; `name` is its path within the repository."""

    name: str
    text: str

    @property
    def path(self) -> Path:
        return REPOSITORY / self.name

    def blocks(self, *languages: str) -> list[Block]:
        """The fenced blocks, those of `languages` where any are named."""
        return [block for block in _blocks(self) if not languages or block.language in languages]

    @property
    def prose(self) -> str:
        """The text without its fenced blocks, line by line as in the file."""
        inside, lines = False, []
        for line in self.text.splitlines():
            fence = _FENCE.match(line) is not None
            lines.append("" if inside or fence else line)
            inside ^= fence
        return "\n".join(lines)

    def code_spans(self) -> list[str]:
        """What stands between backticks, white space made one space."""
        return [" ".join(span.split()) for span in _SPAN.findall(self.prose)]

    def headings(self) -> list[str]:
        return [heading for _, heading in _HEADING.findall(self.prose)]

    def anchors(self) -> set[str]:
        """The ids of the headings, as Python-Markdown and code hosts make them."""
        found: set[str] = set()
        for heading in self.headings():
            slug = re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower())
            found.add(next(name for name in _numbered(slug) if name not in found))
        return found

    def links(self) -> list[str]:
        """The targets of links and pictures."""
        return _LINK.findall(_SPAN.sub("", self.prose))


def pages() -> list[Page]:
    """README.md, then docs/*.md."""
    files = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    return [Page(str(file.relative_to(REPOSITORY)), file.read_text()) for file in files]


def page(name: str) -> Page:
    return next(one for one in pages() if one.name == name)


def table(text: str) -> list[list[str]]:
    """The cells of the first Markdown table in `text`, row by row, without its head."""
    rows = re.search(r"(?:^\|.*\n?)+", text, re.MULTILINE)
    assert rows, "there is no table"
    return [[cell.strip() for cell in row.strip().strip("|").split("|")] for row in rows[0].splitlines()[2:]]


def _blocks(source: Page) -> Iterator[Block]:
    opened: tuple[int, str, int] | None = None  # line, language, indentation
    lines: list[str] = []
    for number, line in enumerate(source.text.splitlines(), 1):
        fence = _FENCE.match(line)
        if fence and opened is None:
            opened, lines = (number, fence[2].strip(), len(fence[1])), []
        elif fence and opened:
            yield Block(source.name, opened[0] + 1, opened[1], "\n".join(lines))
            opened = None
        elif opened:
            lines.append(line[opened[2] :])
    assert opened is None, f"{source.name}: a fenced block is not closed"


def _numbered(slug: str) -> Iterator[str]:
    yield slug
    number = 1
    while True:
        yield f"{slug}-{number}"
        number += 1
