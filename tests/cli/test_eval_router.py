from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from coe.cli.eval_router import eval_router
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
