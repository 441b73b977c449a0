"""`coe select-experts` against a scripted service."""

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import orjson
import pytest
import typer
from safetensors.numpy import save_file
from typer.testing import CliRunner, Result

from coe.cli.select_experts import select_experts
from coe.errors import ConfigError, InvalidRequestError, StartupError
from routers.errors import DataError
from tests.selection.scripted_service import Script, ScriptedService, listening

QUESTIONS = [f"{n} + {n}?" for n in range(20)]


def script(voice: str, right: range, logprob: float) -> Script:
    answers = {q: f"{voice}: {2 * n if n in right else -1 - n}" for n, q in enumerate(QUESTIONS)}
    return Script(answers, dict.fromkeys(QUESTIONS, logprob))


@pytest.fixture
async def service() -> AsyncIterator[ScriptedService]:
    experts = {
        "adder": script("sum", range(18), -0.2),
        "copycat": script("sum", range(18), -0.4),
        "counter": script("fingers", range(4, 20), -0.3),
        "silent": script("hm", range(0), -0.9),
    }
    async with listening(ScriptedService(experts)) as service:
        yield service


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    file = tmp_path / "shots.jsonl"
    rows = [{"prompt": q, "completion": f"It makes {2 * n}"} for n, q in enumerate(QUESTIONS)]
    file.write_bytes(b"\n".join(map(orjson.dumps, rows)))
    return file


async def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(select_experts)
    return await asyncio.to_thread(
        CliRunner().invoke, app, ["--check", "number", *arguments], env={"COLUMNS": "160", "TERM": "dumb"}
    )


async def test_the_ranking_tells_who_is_chosen_and_why(service: ScriptedService, shots: Path) -> None:
    names = ("silent", "copycat", "adder", "counter")
    ended = await run("--k-shot", str(shots), "--url", service.url, "--candidates", *names)
    assert ended.exit_code == 0, ended.stderr
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in ended.stdout.splitlines() if "│" in line]
    assert [row[0] for row in rows] == ["adder", "copycat", "counter", "silent"]
    assert rows[0] == ["adder", "0.900", "0.200", "0.859", "chosen"]
    assert rows[1][-1] == "dropped: answers or weights as those of adder"
    assert rows[2][-1] == "chosen"
    assert rows[3][-1].startswith("dropped: a guesser is right on 0.000")
    assert "Chosen: adder, counter; value" in ended.stdout
    assert re.search(r"counter .* 20/20", ended.stderr)


async def test_programs_get_every_figure(service: ScriptedService, shots: Path) -> None:
    names = ("adder", "counter", "copycat")
    ended = await run("--k-shot", str(shots), "--url", service.url, "--json", "--size", "1", "--candidates", *names)
    told = orjson.loads(ended.stdout)
    assert told.keys() == {"n", "chance", "chosen", "value", "exact", "experts", "similarity"}
    assert (told["n"], told["chance"], told["chosen"], told["exact"]) == (20, 0.0, ["adder"], True)
    best, copy, other = told["experts"]
    assert best == {
        "expert": "adder",
        "chosen": True,
        "accuracy": 0.9,
        "nll": pytest.approx(0.2),
        "score": told["value"],
        "reason": None,
        "duplicate_of": None,
        "p_guess": pytest.approx(0),
        "likelihood_z": None,
        "p_reasoning": pytest.approx(best["p_reasoning"]),
    }
    assert (copy["reason"], copy["duplicate_of"], other["reason"]) == ("duplicate", "adder", None)
    (pair,) = told["similarity"]
    assert pair["experts"] == ["adder", "counter"]
    assert 0 <= pair["similarity"] <= 1


async def test_where_nobody_is_better_than_a_guess_the_command_fails(service: ScriptedService, shots: Path) -> None:
    ended = await run("--k-shot", str(shots), "--url", service.url, "--candidates", "silent")
    assert ended.exit_code == 1
    assert "Nobody is chosen" in ended.stdout
    assert "no candidate is better than a guess" in ended.stderr


async def test_adapters_are_compared_by_their_weights(service: ScriptedService, shots: Path, tmp_path: Path) -> None:
    given = []
    for seed, name in enumerate(("adder", "counter")):
        rng = np.random.default_rng(seed)
        (tmp_path / name).mkdir()
        factors = {f"m.lora_{part}.weight": rng.standard_normal((3, 3)) for part in "AB"}
        save_file(factors, tmp_path / name / "adapter_model.safetensors")
        given += ["--adapter", f"{name}={tmp_path / name}"]
    common = ("--k-shot", str(shots), "--url", service.url, "--json", "--similarity", "adapters")
    ended = await run(*common, *given, "--candidates", "adder", "counter")
    assert orjson.loads(ended.stdout)["chosen"] == ["adder", "counter"]
    missing = await run(*common, *given, "--candidates", "adder", "counter", "silent")
    assert isinstance(missing.exception, ConfigError)
    assert str(missing.exception) == "--similarity adapters needs --adapter NAME=FOLDER for silent."


async def test_bad_input_is_told(service: ScriptedService, shots: Path, tmp_path: Path) -> None:
    nowhere = await run("--k-shot", str(tmp_path / "none"), "--url", service.url, "--candidates", "adder")
    assert isinstance(nowhere.exception, DataError)
    unknown = await run("--k-shot", str(shots), "--url", service.url, "--candidates", "poet")
    assert isinstance(unknown.exception, InvalidRequestError)
    for url in ("http://127.0.0.1:9", "http://[", "localhost"):
        away = await run("--k-shot", str(shots), "--url", url, "--candidates", "adder")
        assert isinstance(away.exception, StartupError)
        assert str(away.exception).startswith("No service answers at ")
