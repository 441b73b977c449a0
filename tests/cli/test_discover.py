"""`coe discover` with the router that ships: prompts in files, proposals on stdout and in a file of rows."""

from __future__ import annotations

import asyncio
from pathlib import Path

import orjson
import pytest
import yaml
from redis.asyncio import Redis

from coe.store.decision_log import DecisionLog, LoggedDecision
from routers.prompts import read_prompts
from tests.cli.commands import Coe

ROUTER = Path(__file__).parents[2] / "configs" / "router"
ANIMALS = ("cat", "dog", "horse", "parrot", "rabbit", "hamster", "pony", "goat", "tortoise", "canary")
QUESTIONS = ("How often must I feed my {} pet?", "Why does my pet {} not eat?", "Can a {} be a pet in a small flat?")


PETS = [question.format(animal) for question in QUESTIONS for animal in ANIMALS]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": pet} for pet in PETS]
    path.write_bytes(b"\n".join(map(orjson.dumps, [*rows, rows[0]])))
    return path


def test_proposals_are_shown_with_examples_and_written_as_rows(coe: Coe, data: Path, tmp_path: Path) -> None:
    arguments = ("discover", "--router", str(ROUTER), "--data", str(data), "--all")
    shown = coe(*arguments, "--out", str(tmp_path / "proposed.jsonl"))
    assert shown.code == 0
    assert "pet" in shown.out
    assert "31 prompts: 1 repeated, 0 of a known category, 30 looked at" in shown.err
    written = read_prompts([tmp_path / "proposed.jsonl"])
    told = orjson.loads(coe(*arguments, "--json").out)
    assert [(row.text, row.category) for row in written] == [
        (prompt, proposal["name"]) for proposal in told["proposals"] for prompt in proposal["prompts"]
    ]
    assert told.keys() == {"proposals", "scattered", "given", "repeats", "known", "silhouette"}


def test_a_file_that_exists_is_left_alone(coe: Coe, data: Path) -> None:
    before = data.read_bytes()
    ended = coe("discover", "--router", str(ROUTER), "--data", str(data), "--out", str(data))
    assert (ended.code, ended.out) == (2, "")
    assert "is left alone: name another file for `--out`" in ended.err
    assert data.read_bytes() == before


def test_too_few_prompts_are_told_with_a_remedy(coe: Coe, data: Path, tmp_path: Path) -> None:
    (tmp_path / "few.jsonl").write_text('{"prompt": "one"}\n')
    arguments = ("discover", "--router", str(ROUTER), "--data", str(tmp_path / "few.jsonl"), "--all")
    ended = coe(*arguments, "--out", str(tmp_path / "none.jsonl"))
    assert (ended.code, ended.out) == (0, "")
    assert "collect more" in ended.err
    assert not (tmp_path / "none.jsonl").exists()


def test_bad_input_is_told(coe: Coe, data: Path, tmp_path: Path) -> None:
    absent = coe("discover", "--router", str(tmp_path / "none"), "--data", str(data))
    assert absent.code == 2
    assert "coe train-router" in absent.err
    small = coe("discover", "--router", str(ROUTER), "--data", str(data), "--min-size", "1")
    assert small.code == 2
    assert "needs 4 prompts or more" in small.err


def service(folder: Path, redis: dict[str, str], prompts: str = "abstained") -> str:
    """The path of a configuration with the router that ships."""
    config = {
        "router": {"path": str(ROUTER), "general": "generalist", "log": {"prompts": prompts}},
        "models": {"scripted": {"url": "http://127.0.0.1:9", "served_name": "scripted"}},
        "experts": {"generalist": {"model": "scripted"}},
        "workers": {"only": {}},
        "redis": redis,
    }
    path = folder / "service.yaml"
    path.write_text(yaml.safe_dump(config))
    return str(path)


async def reject(redis: Redis, namespace: str, texts: list[str]) -> None:
    log = DecisionLog(redis, namespace, 60, 1_000)
    await log.write(
        [
            LoggedDecision(f"r-{number}", "general", 0.2, True, "generalist", "single", 0.0, "0123456789ab", text)
            for number, text in enumerate(texts)
        ]
    )


async def test_prompts_that_a_service_rejected_are_read_from_its_redis(
    coe: Coe, redis: Redis, redis_url: str, namespace: str, tmp_path: Path
) -> None:
    await reject(redis, namespace, PETS)
    config = service(tmp_path, {"url": redis_url, "namespace": namespace})
    found = await asyncio.to_thread(coe, "discover", "--config", config, "--all", "--json")
    told = orjson.loads(found.out)
    assert told["given"] == len(PETS)
    assert {prompt for proposal in told["proposals"] for prompt in proposal["prompts"]} <= set(PETS)
    assert told["proposals"]


async def test_prompts_of_files_may_be_added(  # noqa: PLR0917  # fixtures
    coe: Coe, redis: Redis, redis_url: str, namespace: str, data: Path, tmp_path: Path
) -> None:
    await reject(redis, namespace, ["Is an axolotl a good pet?"])
    config = service(tmp_path, {"url": redis_url, "namespace": namespace})
    arguments = ("discover", "--config", config, "--router", str(ROUTER), "--data", str(data))
    found = await asyncio.to_thread(coe, *arguments, "--all", "--json")
    assert orjson.loads(found.out)["given"] == len(PETS) + 1 + 1


def test_an_embedded_redis_cannot_be_read(coe: Coe, tmp_path: Path) -> None:
    ended = coe("discover", "--config", service(tmp_path, {}))
    assert (ended.code, ended.out) == (2, "")
    assert "redis.url: without it the service has an embedded Redis of its own" in ended.err
    assert "or give prompts with `--data`" in ended.err


def test_a_redis_that_is_away_is_told(coe: Coe, tmp_path: Path) -> None:
    ended = coe("discover", "--config", service(tmp_path, {"url": f"unix://{tmp_path}/nothing.sock"}))
    assert (ended.code, ended.out) == (1, "")
    assert "the Redis of `redis.url` cannot be read" in ended.err


@pytest.mark.parametrize(
    ("prompts", "code", "told"), [("none", 2, "set it to `abstained`"), ("abstained", 0, "collect")]
)
async def test_where_no_prompt_is_kept_the_reason_is_told(  # noqa: PLR0917  # fixtures
    coe: Coe, redis_url: str, namespace: str, tmp_path: Path, prompts: str, code: int, told: str
) -> None:
    config = service(tmp_path, {"url": redis_url, "namespace": namespace}, prompts)
    ended = await asyncio.to_thread(coe, "discover", "--config", config)
    assert ended.code == code
    assert told in ended.err


def test_a_router_and_prompts_must_be_named(coe: Coe, data: Path) -> None:
    without_router, without_data = coe("discover", "--data", str(data)), coe("discover", "--router", str(ROUTER))
    assert (without_router.code, without_data.code) == (2, 2)
    assert "`--router`" in without_router.err
    assert "`--data`" in without_data.err
