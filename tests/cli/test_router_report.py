"""`coe train-router` ends with a report: tables and findings, JSON for programs, a page beside the router."""

from collections.abc import Callable
from io import StringIO
from pathlib import Path

import orjson
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from coe.cli.eval_router import eval_router
from coe.cli.router_report import print_report
from coe.cli.train_router import train_router
from coe.errors import RefusedError
from routers.artefact import verify_artefact
from routers.errors import ArtefactChecksumError
from routers.report.document import JSON_FILE, ReportDocument
from routers.report.html import HTML_FILE
from tests.routers.report.documents import written

TOPICS = {
    "cooking": "soup bread chicken pancakes sauce cake oven recipe",
    "law": "contract will patent court clause lease",
}
QUESTIONS = ("How do I go about {}?", "Tell me about {} please.", "What should I know first of {}?", "Why {}?")
Answers = Callable[[str], dict[str, int]]


def gaining(category: str) -> dict[str, int]:
    return {"cook": int(category == "cooking"), "lawyer": int(category == "law")}


def pointless(category: str) -> dict[str, int]:
    return {"cook": 1, "lawyer": 0}


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("COE_HOME", str(tmp_path / "cache"))
    app = typer.Typer()
    app.command("train-router")(train_router)
    app.command("eval-router")(eval_router)
    return app


def train_arguments(folder: Path, answers: Answers) -> list[str]:
    rows = [
        {"prompt": question.format(topic), "category": category, "outcomes": answers(category)}
        for category, topics in TOPICS.items()
        for topic in topics.split()
        for question in QUESTIONS
    ]
    (folder / "rows.jsonl").write_bytes(b"\n".join(map(orjson.dumps, rows)))
    data, out = str(folder / "rows.jsonl"), str(folder / "router")
    return ["train-router", "--encoder", "words", "--data", data, "--out", out]


def shown(document: ReportDocument, width: int = 200) -> str:
    out = StringIO()
    print_report(Console(file=out, width=width), document)
    return out.getvalue()


def test_tables_show_every_policy_category_and_budget_within_100_columns() -> None:
    text = shown(written("a category of a long name, longer than any", "an/expert-with-a-long-name-8B-Instruct-v0.3"))
    assert max(map(len, text.splitlines())) <= 100
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in text.splitlines() if line.startswith("│")]
    assert ["→ map", "56.1 %", "7.25 B", "+2.13 [+1.08, +3.19]", "< 0.001"] in rows
    assert ["random", "41.0 %", "7.50 B", "-", "-"] in rows
    assert ["8 B", "56.1 %", "7.25 B", "54.0 %", "+2.13 [+1.08, +3.19]", "< 0.001"] in rows
    assert ["maths", "40", "75.0 %", "generalist", "-", "-"] in rows
    assert ["general", "", "", "generalist", "", ""] in rows


def test_names_are_shown_as_they_are() -> None:
    text = shown(written("[red]x[/red]", "[bold]", objection="[link=x]"))
    assert text.count("[red]x[/red]") == 2
    assert "[bold]" in text
    assert "by force: [link=x]" in text
    assert "\x1b" not in shown(written("\x1b[31m"))


def test_the_router_keeps_the_report_that_was_printed(app: typer.Typer, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, [*train_arguments(tmp_path, gaining), "--json"], catch_exceptions=False)
    document = ReportDocument.from_json(found.stdout)
    assert ReportDocument.from_json((tmp_path / "router" / JSON_FILE).read_bytes()) == document
    assert document.objection is None
    assert document.outcomes is not None
    assert document.outcomes.best_single in {"cook", "lawyer"}
    assert 0 < document.latency_ms.p50 <= document.latency_ms.p99
    page = tmp_path / "router" / HTML_FILE
    assert str(page) in found.stderr.replace("\n", "")
    page.write_text(page.read_text() + " ")
    with pytest.raises(ArtefactChecksumError):
        verify_artefact(tmp_path / "router")


def test_a_refused_router_is_reported_and_not_written(app: typer.Typer, tmp_path: Path) -> None:
    found = CliRunner().invoke(app, train_arguments(tmp_path, pointless))
    assert isinstance(found.exception, RefusedError)
    assert "This router should not be used" in found.stdout
    assert not (tmp_path / "router").exists()


def test_a_forced_router_says_so_in_its_report(app: typer.Typer, tmp_path: Path) -> None:
    arguments = [*train_arguments(tmp_path, pointless), "--force"]
    CliRunner().invoke(app, arguments, catch_exceptions=False)
    document = ReportDocument.from_json((tmp_path / "router" / JSON_FILE).read_bytes())
    assert document.forced
    assert document.objection is not None


def test_figures_on_training_prompts_are_warned_of(app: typer.Typer, tmp_path: Path) -> None:
    CliRunner().invoke(app, train_arguments(tmp_path, gaining), catch_exceptions=False)
    (tmp_path / "new.jsonl").write_text('{"prompt": "Where is a good lease?", "category": "law"}\n')

    def measured(data: str) -> str:
        arguments = ["eval-router", "--json", "--router", str(tmp_path / "router"), "--data", str(tmp_path / data)]
        return CliRunner().invoke(app, arguments, catch_exceptions=False).stderr

    assert "Warning: 56 of 56 prompts were in the training data" in measured("rows.jsonl")
    assert "Warning" not in measured("new.jsonl")
