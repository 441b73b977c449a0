"""`coe eval-plan` replays recorded answers on rows that its router did not see, and says what it cannot use."""

from collections.abc import Callable, Sequence
from pathlib import Path

import orjson
import pytest

from coe.replay.judging import trained
from routers.encoders.static import StaticEncoder
from routers.mapping.experts import ExpertSize
from routers.prompts import LabelledPrompt
from tests.cli.commands import Coe, Finished
from tests.replay.worlds import drawn_answers

MakePrompts = Callable[..., list[LabelledPrompt]]
ACCURACY = {"a": 0.55, "b": 0.5, "c": 0.5, "large": 0.9}
SIZES = {"a": 7, "b": 8, "c": 3, "large": 70}


def write(path: Path, prompts: Sequence[LabelledPrompt], *leaving_out: str) -> Path:
    rows = [
        {"prompt": one.text, "category": one.category, "outcomes": one.outcomes, "answers": one.answers}
        for one in prompts
    ]
    kept = [{name: value for name, value in row.items() if name not in leaving_out} for row in rows]
    path.write_bytes(b"\n".join(map(orjson.dumps, kept)))
    return path


@pytest.fixture(scope="module")
def training(make_prompts: MakePrompts) -> list[LabelledPrompt]:
    return drawn_answers(make_prompts(80), ACCURACY, seed=1)


@pytest.fixture(scope="module")
def router(
    training: list[LabelledPrompt], word_encoder: StaticEncoder, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    directory = tmp_path_factory.mktemp("trained") / "router"
    sizes = {name: ExpertSize(size, size) for name, size in SIZES.items()}
    trained(training, word_encoder, tuple(ACCURACY), sizes).save(directory)
    return directory


@pytest.fixture
def data(make_prompts: MakePrompts, tmp_path: Path) -> Path:
    return write(tmp_path / "new.jsonl", drawn_answers(make_prompts(200, seed=5), ACCURACY, seed=2))


def figures(finished: Finished) -> dict[str, dict[str, object]]:
    assert finished.code == 0, finished.err
    return {plan["name"]: plan for plan in orjson.loads(finished.out)["plans"]}


def test_plans_are_compared_by_score_and_calls(coe: Coe, router: Path, data: Path) -> None:
    finished = coe(
        "eval-plan", "--data", str(data), "--router", str(router), "--max-active-params-b", "9", "--json", "--vote", "2"
    )
    plans = figures(finished)
    assert list(plans)[:3] == ["top-1", "top-2 vote", "cascade"]
    assert plans["top-1"]["calls"] == 1
    assert plans["all"]["calls"] == 3
    cascade = plans["cascade"]
    assert isinstance(cascade["gain"], dict)
    assert cascade["gain"]["mean"] > 0
    assert cascade["gain"]["ci95"][0] <= cascade["gain"]["mean"] <= cascade["gain"]["ci95"][1]
    assert set(cascade) >= {"score", "score_ci95", "calls", "calls_ci95", "active_params_b"}


def test_the_table_names_every_plan_and_a_plot_is_drawn(coe: Coe, router: Path, data: Path, tmp_path: Path) -> None:
    plot = tmp_path / "plans.svg"
    finished = coe("eval-plan", "--data", str(data), "--router", str(router), "--plot", str(plot), "--bar", "0.1")
    assert finished.code == 0, finished.err
    for name in ("top-1", "top-3 vote", "cascade-5, bar 0.1", "all", "best single", "oracle"):
        assert name in finished.out
    assert plot.read_text().startswith("<?xml")


def test_rows_that_the_router_was_trained_on_are_left_out(
    coe: Coe, router: Path, data: Path, training: list[LabelledPrompt], tmp_path: Path
) -> None:
    known = write(tmp_path / "known.jsonl", training)
    both = coe("eval-plan", "--data", str(data), str(known), "--router", str(router), "--json")
    alone = coe("eval-plan", "--data", str(data), "--router", str(router), "--json")
    assert figures(both) == figures(alone)
    assert f"{len(training)} of {len(training) + 600} rows were left out" in both.err
    only_known = coe("eval-plan", "--data", str(known), "--router", str(router))
    assert (only_known.code, only_known.out) == (2, "")
    assert "every row" in only_known.err


@pytest.mark.parametrize("field", ["answers", "outcomes"])
def test_data_without_answers_or_outcomes_are_refused(
    coe: Coe, router: Path, make_prompts: MakePrompts, tmp_path: Path, field: str
) -> None:
    bare = write(tmp_path / "bare.jsonl", drawn_answers(make_prompts(4, seed=5), ACCURACY), field)
    finished = coe("eval-plan", "--data", str(bare), "--router", str(router))
    assert (finished.code, finished.out) == (2, "")
    assert f"no `{field}`" in finished.err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--router", "r", "--train", "t.jsonl"], "not both"),
        (["--answers", "sound"], "--answers 'sound' must be one of"),
        (["--router", "none"], "is not a router"),
    ],
)
def test_arguments_that_cannot_be_used_are_refused(coe: Coe, data: Path, arguments: list[str], said: str) -> None:
    finished = coe("eval-plan", "--data", str(data), *arguments)
    assert (finished.code, finished.out) == (2, "")
    assert said in finished.err


def test_a_plot_of_no_known_format_is_refused(coe: Coe, router: Path, data: Path, tmp_path: Path) -> None:
    finished = coe("eval-plan", "--data", str(data), "--router", str(router), "--plot", str(tmp_path / "plot.doc"))
    assert finished.code == 2
    assert "--plot" in finished.err


def test_without_a_router_one_is_trained(coe: Coe, data: Path, training: list[LabelledPrompt], tmp_path: Path) -> None:
    rows = write(tmp_path / "train.jsonl", training)
    experts = tmp_path / "experts.json"
    experts.write_bytes(orjson.dumps(SIZES))
    limits = ("--experts", str(experts), "--max-active-params-b", "9", "--json", "--encoder", "words", "--no-cache")
    split = figures(coe("eval-plan", "--data", str(data), "--train", str(rows), *limits))
    crossed = figures(coe("eval-plan", "--data", str(data), *limits))
    for plans in (split, crossed):
        assert plans["all"]["active_params_b"] == 7 + 8 + 3
        assert 2 < float(str(plans["cascade"]["calls"])) < 3
