from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from coe.cli.eval_router import eval_router, figures_table
from routers.errors import ArtefactError, DataError


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    app.command()(eval_router)
    return app


def test_a_missing_router_and_missing_data_are_told_apart(app: typer.Typer, tmp_path: Path) -> None:
    data = tmp_path / "rows.jsonl"
    data.write_text('{"prompt": "x", "category": "law"}')
    no_router = CliRunner().invoke(app, ["--router", str(tmp_path / "none"), "--data", str(data)])
    assert isinstance(no_router.exception, ArtefactError)
    no_data = CliRunner().invoke(app, ["--router", str(tmp_path / "none"), "--data", str(tmp_path / "none.jsonl")])
    assert isinstance(no_data.exception, DataError)
    assert no_data.stdout == ""


def test_figures_are_shown_by_their_path_and_absent_ones_as_a_dash() -> None:
    out = StringIO()
    console = Console(width=80, file=out)
    console.print(figures_table({"n": 3, "routed": {"score": 0.5}, "gain": {"ci95": (0.1, 0.2), "p_value": None}}))
    shown = [line.strip("\u2502 ").split() for line in out.getvalue().splitlines()]
    assert ["n", "\u2502", "3"] in shown
    assert ["routed.score", "\u2502", "0.5000"] in shown
    assert ["gain.ci95", "\u2502", "0.1000", "to", "0.2000"] in shown
    assert ["gain.p_value", "\u2502", "-"] in shown
