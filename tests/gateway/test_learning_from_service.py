"""From answers to a better map, without a restart: asked, scored, refreshed, taken up. Only the worker is scripted."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import orjson
import pytest
import yaml
from redis.asyncio import Redis
from typer.testing import CliRunner

from coe.cli.main import app
from coe.config.load import load_config
from coe.live_router import LiveRouter
from coe.routing import load_routing
from routers.artefact import version_of
from routers.encoders.static import StaticEncoder
from routers.training import train
from tests.routers.conftest import MakePrompts
from tests.running_gateway import EXPERTS, GENERAL, MakeReport, RunningGateway, StartGateway
from tests.scripted_worker import ScriptedWorker
from workers.reports import WorkerReport

SERVED = 40  # answers in one category, all of them bad
CHANCES = {
    "cooking": {"generalist": 0.8, "poet": 0.2},
    "law": {"generalist": 0.8, "poet": 0.2},
    "maths": {"generalist": 0.3, "poet": 0.8},  # what the probes say, and service does not bear out
}


@pytest.fixture
def config(tmp_path: Path, redis_url: str, namespace: str) -> Path:
    """Of the gateway's experts, with a Redis that other processes can read."""
    path = tmp_path / "service.yaml"
    fields = {
        "redis": {"url": redis_url, "namespace": namespace},
        "router": {"path": "router", "general": GENERAL},
        "models": {"scripted": {"url": "http://127.0.0.1:9", "served_name": "scripted"}},
        "experts": {name: {"model": "scripted"} for name in EXPERTS},
        "workers": {"only": {}},
    }
    path.write_text(yaml.safe_dump(fields))
    return path


@pytest.fixture
def live(word_encoder: StaticEncoder, make_prompts: MakePrompts, config: Path) -> LiveRouter:
    """A router whose map sends maths to the poet."""
    train(make_prompts(30, outcomes=CHANCES.__getitem__), word_encoder)[0].save(config.parent / "router")
    return LiveRouter(config.parent / "router", partial(load_routing, load_config(config, {}), config.parent))


@pytest.fixture
def report(worker: ScriptedWorker, make_report: MakeReport) -> WorkerReport:
    """Of a worker that holds every expert."""
    return make_report(worker.url)


@pytest.fixture
async def gateway(
    start_gateway: StartGateway, report: WorkerReport, redis: Redis, live: LiveRouter, namespace: str
) -> RunningGateway:
    return await start_gateway(report, redis=redis, router=live, namespace=namespace)


async def test_bad_scores_move_a_category_to_another_expert_while_the_gateway_runs(
    gateway: RunningGateway, live: LiveRouter, make_prompts: MakePrompts, config: Path
) -> None:
    directory, before = config.parent / "router", live.version
    asked = [await gateway.ask(prompt.text) for prompt in make_prompts(SERVED, seed=1) if prompt.category == "maths"]
    of_poet = [reply for reply in asked if reply.headers["x-coe-expert"] == "poet"]
    assert len(of_poet) > SERVED / 2
    await gateway.settle()
    for reply in of_poet:
        scored = await gateway.post("/v1/feedback", {"request_id": reply.headers["x-request-id"], "score": 0})
        assert scored.json() == {"recorded": True, "counts_for_map": True, "expert": "poet", "category": "maths"}

    refreshed = await asyncio.to_thread(CliRunner().invoke, app, ["refresh-map", "--config", str(config), "--json"])
    assert refreshed.exit_code == 0, refreshed.output
    told = orjson.loads(refreshed.stdout)
    assert told["served"] == len(of_poet)
    changed = {one["category"]: (one["before"], one["after"]) for one in told["changes"]}
    assert changed["maths"] == ("poet", "generalist")

    assert (await gateway.ask("what is the integral of the derivative")).headers["x-coe-expert"] == "poet"
    for _ in range(2):  # as in the background: once to see the change, once to see that it stands still
        await live.refresh()
    after = await gateway.post("/v1/route", {"prompt": "what is the integral of the derivative"})
    assert (after.json()["category"], after.json()["expert"]) == ("maths", "generalist")
    assert after.json()["router_version"] == live.version == version_of(directory) != before

    again = await asyncio.to_thread(CliRunner().invoke, app, ["refresh-map", "--config", str(config)])
    assert "no new outcome" in str(again.exception)  # each score counts once
