"""`coe refresh-map`: what it needs, what it writes, and that it can be taken back."""

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest
from typer.testing import CliRunner

from coe.cli.main import app
from coe.errors import InputError
from routers.encoders.static import StaticEncoder
from routers.evaluation import LatencyFigures
from routers.prompts import LabelledPrompt
from routers.report.document import JSON_FILE, ReportDocument, document_of
from routers.report.html import HTML_FILE
from routers.router import CategoryRouter
from routers.training import train

MakePrompts = Callable[..., list[LabelledPrompt]]
CHANCES = {
    "cooking": {"cook": 0.9, "jurist": 0.3},
    "law": {"cook": 0.3, "jurist": 0.9},
    "maths": {"cook": 0.5, "jurist": 0.5},
}


@pytest.fixture
def router(word_encoder: StaticEncoder, make_prompts: MakePrompts, tmp_path: Path) -> Path:
    trained, report = train(make_prompts(60, outcomes=CHANCES.__getitem__), word_encoder)
    trained.save(tmp_path / "router", {JSON_FILE: document_of(trained, report, LatencyFigures(0.3, 0.5)).to_json()})
    return tmp_path / "router"


@pytest.fixture
def outcomes(make_prompts: MakePrompts, tmp_path: Path) -> Path:
    rows = make_prompts(40, seed=9, outcomes=lambda category: {"third": float(category == "maths")})
    path = tmp_path / "outcomes.jsonl"
    path.write_bytes(b"\n".join(orjson.dumps({"prompt": row.text, "outcomes": dict(row.outcomes)}) for row in rows))
    return path


def test_a_new_expert_comes_into_the_map_and_a_rollback_takes_it_out(router: Path, outcomes: Path) -> None:
    run = CliRunner()
    done = run.invoke(app, ["refresh-map", "--router", str(router), "--data", str(outcomes), "--json"])
    assert done.exit_code == 0, done.output
    changes = {one["category"]: one["after"] for one in orjson.loads(done.stdout)["changes"]}
    assert changes["maths"] == "third"
    assert expert_of_maths(router) == "third"
    assert expert_in_report(router) == "third"
    assert "The map was learned again" in (router / HTML_FILE).read_text()
    assert run.invoke(app, ["rollback-router", str(router)]).exit_code == 0
    assert expert_of_maths(router) == expert_in_report(router) != "third"


def test_a_dry_run_writes_nothing(router: Path, outcomes: Path) -> None:
    before = (router / "manifest.json").read_bytes()
    done = CliRunner().invoke(app, ["refresh-map", "--router", str(router), "--data", str(outcomes), "--dry-run"])
    assert done.exit_code == 0, done.output
    assert (router / "manifest.json").read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [(["--router", "r"], "outcomes to learn from"), (["--data", "f.jsonl"], "Name the router")],
)
def test_what_is_not_named_is_asked_for(arguments: list[str], missing: str) -> None:
    done = CliRunner().invoke(app, ["refresh-map", *arguments])
    assert isinstance(done.exception, InputError)
    assert missing in str(done.exception)


def expert_in_report(router: Path) -> str | None:
    document = ReportDocument.from_json((router / JSON_FILE).read_bytes())
    return next(entry.expert for entry in document.categories if entry.name == "maths")


def expert_of_maths(router: Path) -> str | None:
    loaded = CategoryRouter.load(router, Path)
    return None if loaded.expert_map is None else loaded.expert_map.expert_for("maths")
