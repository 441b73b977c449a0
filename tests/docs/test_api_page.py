"""docs/api.md lists the endpoints that the gateway has, and codes that it answers with."""

from __future__ import annotations

import re
from unittest.mock import MagicMock

from coe.gateway.app import routes
from tests.docs.pages import REPOSITORY, page, table

API = page("docs/api.md")


def documented_endpoints() -> set[tuple[str, str]]:
    """Methods and paths of the first table; `…/unload` stands for the path before it with another end."""
    found: set[tuple[str, str]] = set()
    for cell, _ in table(API.text):
        method, path = "", ""
        for span in re.findall(r"`([^`]+)`", cell):
            new_method, _, new_path = span.rpartition(" ")
            method = new_method or method
            path = f"{path.rpartition('/')[0]}/{new_path[2:]}" if new_path.startswith("…/") else new_path
            found.add((method, path))
    return found


def served_endpoints() -> set[tuple[str, str]]:
    pages = MagicMock()  # whatever the endpoints are
    made = routes(pages, pages, pages, feedback=pages, router=pages, memory=pages, decisions=pages)
    return {
        (method, re.sub(r":path\}", "}", route.path))
        for route in made
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_the_endpoints_are_those_of_the_gateway() -> None:
    assert documented_endpoints() == served_endpoints()


def test_the_codes_of_errors_are_in_the_code() -> None:
    sources = "\n".join(
        file.read_text() for package in ("coe", "workers") for file in (REPOSITORY / package).rglob("*.py")
    )
    rows = re.findall(r"^\| \d{3}[\d, ]* \| (.+?) \|", API.text, re.MULTILINE)
    codes = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row)} - {"param"}
    assert len(codes) > 15
    assert {code for code in codes if f'"{code}"' not in sources} == set()
