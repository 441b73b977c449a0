import subprocess
import sys
from pathlib import Path

import orjson
import pytest
import typer
from typer.testing import CliRunner

from coe.cli.eval_router import eval_router
from coe.cli.train_router import train_router
from routers.errors import ArtefactError, DataError, MapError

TOPICS = {
    "cooking": ["soup", "bread", "a roast chicken", "pancakes", "tomato sauce", "a cheese cake"],
    "law": ["a rental contract", "a will", "a divorce", "a patent", "small claims court", "copyright"],
}
QUESTIONS = ["How do I go about {}?", "Tell me about {} please.", "What should I know first of {}?"]


@pytest.fixture(scope="module")
def app() -> typer.Typer:
    app = typer.Typer()
    app.command("train-router")(train_router)
    app.command("eval-router")(eval_router)
    return app


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = [
        {
            "prompt": question.format(topic),
            "category": category,
            "outcomes": {"cook": int(category == "cooking"), "lawyer": int(category == "law")},
        }
        for category, topics in TOPICS.items()
        for topic in topics
        for question in QUESTIONS
    ]
    path.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return path


def test_a_router_is_trained_and_measured(
    app: typer.Typer, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COE_HOME", str(tmp_path / "cache"))
    (tmp_path / "experts.json").write_text('{"cook": 1, "lawyer": 2}')
    arguments = ["--data", str(data), "--experts", str(tmp_path / "experts.json"), "--out", str(tmp_path / "router")]
    trained = CliRunner().invoke(app, ["train-router", *arguments], catch_exceptions=False)
    assert trained.exit_code == 0
    assert "lawyer" in trained.stdout
    assert "The router is in" in trained.stderr

    arguments = ["--router", str(tmp_path / "router"), "--data", str(data)]
    measured = CliRunner().invoke(app, ["eval-router", *arguments, "--json"], catch_exceptions=False)
    figures = orjson.loads(measured.stdout)
    assert figures["n"] == 36
    assert figures["category"]["accuracy"] > 0.9
    assert figures["routed"]["score"] > figures["best_single"]["score"]
    assert len(figures["gain"]["ci95"]) == 2


def test_bad_input_is_told_before_a_model_is_loaded(app: typer.Typer, data: Path, tmp_path: Path) -> None:
    def error(*arguments: str) -> BaseException | None:
        return CliRunner().invoke(app, ["train-router", *arguments]).exception

    out = ("--out", str(tmp_path / "router"))
    assert isinstance(error("--data", str(tmp_path / "none.jsonl"), *out), DataError)
    assert isinstance(error("--data", str(data), "--out", str(tmp_path)), ArtefactError)
    (tmp_path / "experts.json").write_text("[]")
    assert isinstance(error("--data", str(data), "--experts", str(tmp_path / "experts.json"), *out), DataError)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        (("--max-active-params-b", "0.5"), "max_active_params_b=0.5"),
        (("--max-total-params-b", "0.5"), "max_total_params_b=0.5"),
        (("--max-share", "cook=0.5", "--max-share", "lawyer=0.4"), "90%"),
        (("--max-share", "nobody=0.5"), "'nobody'"),
    ],
)
def test_limits_that_nothing_meets_are_told_before_the_encoder_is_opened(
    app: typer.Typer, data: Path, tmp_path: Path, limit: tuple[str, ...], told: str
) -> None:
    (tmp_path / "experts.json").write_text('{"cook": 1, "lawyer": 2}')
    no_encoder = ("--encoder", f"path:{tmp_path / 'nothing'}")
    arguments = ["--data", str(data), "--experts", str(tmp_path / "experts.json"), *no_encoder, *limit]
    found = CliRunner().invoke(app, ["train-router", *arguments, "--out", str(tmp_path / "router")])
    assert isinstance(found.exception, MapError)
    assert told in str(found.exception)
    assert not (tmp_path / "router").exists()


def test_the_commands_are_read_without_heavy_imports() -> None:
    code = (
        "import sys, coe.cli.train_router, coe.cli.eval_router\n"
        "assert not {'torch', 'sklearn', 'numpy', 'rich.progress'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[2])
