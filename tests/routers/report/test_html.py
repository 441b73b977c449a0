import re
from html.parser import HTMLParser

import pytest

from routers.report.document import ReportDocument
from routers.report.html import page
from tests.routers.report.documents import written

VOID = {"meta", "br", "img", "link", "input", "hr"}


class Elements(HTMLParser):
    """Which elements and attributes a page has, and its text; fails where they are not nested."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Elements:
    elements = Elements()
    elements.feed(html)
    assert elements.open == []
    return elements


HOSTILE = [
    "<b>",
    '"><script>alert(1)</script>',
    "</svg><img src=x onerror=alert(1)>",
    "a & b",
    "$x^2$ $",
    "''\"\"",
    "{x}",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_comes_from_data_is_text_and_nothing_else(name: str) -> None:
    harmless = read(page(written("law", "jurist", objection="law")))
    found = read(page(written(name, name, objection=name)))
    assert found.seen == harmless.seen
    assert len(found.attributes) == len(harmless.attributes)
    assert "".join(found.text).count(name) >= 4  # category, expert, objection, confusion


def test_names_of_any_script_and_without_a_printable_character_can_be_shown() -> None:
    for name in ("数学", "قانون", "🎲", "\x00\x1b[31m", "long " * 200):
        read(page(written(name, name)))


def test_every_figure_is_on_the_page() -> None:
    text = "".join(read(page(written())).text)
    figures = ["84.7 %", "[81.0, 88.0]", "0.432", "2.46 points", "0.951", "78.1 %", "17.3 %", "0.35 ms", "0.50 ms"]
    policies = ["56.1 %", "7.25 B", "+2.13 [+1.08, +3.19]", "< 0.001", "41.0 %", "54.0 %", "47.9 %"]
    categories = ["60", "90.0 %", "+9.87", "0.012", "54", "10", "30"]
    data = ["12", "7 prompts", "5 repeated rows", "2 prompts", "jurist-xl", "ab" * 32]
    assert [shown for shown in (*figures, *policies, *categories, *data) if shown not in text] == []


def test_the_page_opens_with_what_the_router_gains() -> None:
    html = page(written())
    assert html.index("Routing gains +2.13") < html.index("<table")
    assert "Routing gains" not in page(written(objection="it gains nothing"))


def test_the_page_needs_and_runs_nothing_else(trained: ReportDocument) -> None:
    found = read(page(trained))
    assert not {"script", "link", "img", "iframe", "object"} & found.seen
    targets = [value for name, value in found.attributes if name in {"src", "href"}]
    assert [target for target in targets if not target.startswith("#")] == []
    assert "url(" not in re.sub(r"url\(#", "", page(trained))


def test_every_id_is_there_once_and_what_is_referred_to_exists(trained: ReportDocument) -> None:
    attributes = read(page(trained)).attributes
    ids = [value for name, value in attributes if name == "id"]
    assert len(ids) == len(set(ids))
    referred = {value[1:] for name, value in attributes if name == "href"}
    referred |= {value[5:-1] for name, value in attributes if name == "clip-path"}
    assert referred <= set(ids)


def test_a_report_without_outcomes_is_a_page_too(without_outcomes: ReportDocument) -> None:
    text = "".join(read(page(without_outcomes)).text)
    assert "the data hold no outcomes" in text
    assert "Policies" not in text


def test_the_same_document_gives_the_same_page(trained: ReportDocument) -> None:
    assert page(trained) == page(trained)
