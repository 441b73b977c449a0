"""Adapters that come and go in the whole running service, by the commands."""

from pathlib import Path

import httpx
import pytest

from tests.cli.commands import run
from tests.service.running import NEWCOMER, RunningService
from tests.workers.adapter_files import tear, write_adapter

pytestmark = [pytest.mark.service, pytest.mark.engine, pytest.mark.timeout(900)]


def ask(client: httpx.Client) -> httpx.Response:
    message = {"role": "user", "content": "Tell me about the sea."}
    return client.post("/v1/chat/completions", json={"model": NEWCOMER, "max_tokens": 8, "messages": [message]})


def engine_pids(client: httpx.Client) -> list[int]:
    return [engine["pid"] for worker in client.get("/v1/workers").json() for engine in worker["engines"]]


def test_an_adapter_is_loaded_refused_replaced_and_unloaded(
    local_service: RunningService, client: httpx.Client, newcomer: Path
) -> None:
    url = ("--url", local_service.url)
    pids = engine_pids(client)
    assert ask(client).status_code == 503
    assert "`coe load newcomer`" in ask(client).json()["error"]["message"]

    write_adapter(newcomer, size=(576, 576))
    tear(newcomer)
    refused = run("load", NEWCOMER, *url)
    assert refused.code == 2
    assert "damaged or incomplete" in refused.err

    write_adapter(newcomer, size=(576, 576))
    loaded = run("load", NEWCOMER, *url)
    assert (loaded.code, loaded.err) == (0, "")
    assert loaded.out.startswith("newcomer: ready on ")
    assert ask(client).json()["model"] == NEWCOMER
    assert "as it was" in run("load", NEWCOMER, *url).out

    tear(newcomer)
    assert run("load", NEWCOMER, *url).code == 2
    assert ask(client).status_code == 200  # the version before serves on

    assert run("unload", NEWCOMER, *url).out.startswith("newcomer: unloaded on ")
    assert ask(client).status_code == 503
    assert run("unload", "generalist", *url).code == 2
    assert run("load", "nobody", *url).code == 2
    assert engine_pids(client) == pids
