"""Messages and configurations that the pages print are those of the code."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import yaml

from coe.config.load import load_config
from tests.docs.pages import REPOSITORY, Block, page, pages

TROUBLESHOOTING = page("docs/troubleshooting.md")
COMMAND = re.compile(r"([A-Z_]+=\S+ )*(coe|make|apt) ")
SNIPPETS = [block for one in pages() for block in one.blocks("yaml")]


def messages() -> str:
    """Every text in the code, joined as Python joins it; what is filled in is left out."""
    files = [file for package in ("coe", "routers", "workers") for file in (REPOSITORY / package).rglob("*.py")]
    nodes = (node for file in files for node in ast.walk(ast.parse(file.read_text())))
    found = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return "\n".join([(REPOSITORY / "scripts" / "install").read_text(), *found])


def test_the_messages_of_troubleshooting_are_in_the_code() -> None:
    text, spans = messages(), set(TROUBLESHOOTING.code_spans())
    headings = [span for heading in TROUBLESHOOTING.headings() for span in re.findall(r"`([^`]+)`", heading)]
    wanted = [*headings, *(span for span in spans if len(span.split()) > 2 and not COMMAND.match(span))]
    assert len(wanted) > 30
    for one in wanted:
        assert one.rstrip(":") in text, one


def merged(base: object, over: object) -> object:
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: merged(base.get(key), value) for key, value in over.items()}
    return over


@pytest.mark.parametrize("block", SNIPPETS, ids=lambda block: block.place)
def test_a_snippet_over_the_shipped_configuration_loads(block: Block, tmp_path: Path) -> None:
    shipped, snippet = yaml.safe_load((REPOSITORY / "configs" / "local.yaml").read_text()), yaml.safe_load(block.text)
    if "models" in snippet:  # a composition of its own
        shipped |= {
            "models": {},
            "experts": {},
            "router": {"path": "router", "general": next(iter(snippet["experts"]))},
        }
    written = tmp_path / "service.yaml"
    written.write_text(yaml.safe_dump(merged(shipped, snippet)))
    load_config(written, {})
