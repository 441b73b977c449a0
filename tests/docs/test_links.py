"""Links within the project lead somewhere."""

from __future__ import annotations

import pytest

from tests.docs.pages import REPOSITORY, Page, pages

OUTSIDE = ("http://", "https://", "mailto:")


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_links_and_anchors_resolve(page: Page) -> None:
    anchors = {one.path: one.anchors() for one in pages()}
    for link in page.links():
        if link.startswith(OUTSIDE):
            continue
        name, _, anchor = link.partition("#")
        target = (page.path.parent / name).resolve() if name else page.path
        assert target.exists(), f"{page.name}: {link}"
        assert target.is_relative_to(REPOSITORY), f"{page.name}: {link}"
        if anchor:
            assert anchor in anchors[target], f"{page.name}: {link}"


def test_the_anchors_are_those_of_the_headings() -> None:
    page = Page("page.md", "# A `b`, c\n\n## 503 `x_y`, `z`\n\n```sh\n# no heading\n```\n\n## Twice\n\n## Twice\n")
    assert page.anchors() == {"a-b-c", "503-x_y-z", "twice", "twice-1"}
