"""The site's navigation is complete, and the site is made of what the project has."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.docs.pages import REPOSITORY

SITE = REPOSITORY / "mkdocs.yml"
DOCS = REPOSITORY / "docs"
ZENSICAL = REPOSITORY / ".venv-docs" / "bin" / "zensical"
LOADED = re.compile(r"<(?:link|script|img)\b[^>]*(?:href|src)=\"?(?:https?:)?//[^\s\">]*|url\((?:https?:)?//|@import")


def entries(nav: object) -> Iterator[str]:
    """The files that a navigation names, at whatever depth."""
    match nav:
        case str():
            yield nav
        case list():
            for one in nav:
                yield from entries(one)
        case dict():
            yield from entries(list(nav.values()))


def test_every_page_is_in_the_navigation_once_and_every_entry_is_a_page() -> None:
    named = sorted(entries(yaml.safe_load(SITE.read_text())["nav"]))
    assert named == sorted(str(file.relative_to(DOCS)) for file in DOCS.rglob("*.md"))


def test_links_of_pages_stay_within_the_site() -> None:
    for file in DOCS.rglob("*.md"):
        assert "](../" not in file.read_text(), f"{file.name} links to a file that the site does not have"


@pytest.mark.skipif(not ZENSICAL.exists(), reason="needs `make docs`, which installs the site's generator")
def test_the_site_builds_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    shutil.copytree(DOCS, tmp_path / "docs")
    shutil.copy(SITE, tmp_path)
    built = subprocess.run(
        [ZENSICAL, "build", "--strict"], cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
    )
    assert built.returncode == 0, built.stderr
    made = [*(tmp_path / "site").rglob("*.html"), *(tmp_path / "site").rglob("*.css")]
    assert {file.stem for file in made} >= {file.stem for file in DOCS.glob("*.md")}
    for file in made:
        assert not LOADED.search(file.read_text()), file.name
