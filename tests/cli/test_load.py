"""`coe load`, `unload`, `pin` and `unpin` against a gateway whose workers are scripted."""

import asyncio

import orjson
import pytest

from coe.gateway.loading import Verb
from tests.cli.commands import Coe
from tests.running_gateway import RunningGateway, StartGateway
from workers.reports import LoadReport


def report(**fields: object) -> LoadReport:
    usual = {"worker_id": "w-0", "expert": "poet", "state": "ready", "changed": True, "seconds": 0.25}
    return LoadReport(**(usual | fields))  # type: ignore[arg-type]  # as tests give them


async def test_load_says_where_and_how_long(coe: Coe, gateway: RunningGateway) -> None:
    gateway.control.reports = [report(), report(worker_id="w-1", changed=False)]
    ended = await asyncio.to_thread(coe, "load", "poet", "--url", gateway.url)
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == "poet: ready on w-0 (0.25 s)\npoet: ready on w-1, as it was (0.25 s)\n"
    assert gateway.control.asked == [("load", "poet")]


async def test_unload_gives_programs_json(coe: Coe, gateway: RunningGateway) -> None:
    gateway.control.reports = [report(state="unloaded")]
    ended = await asyncio.to_thread(coe, "unload", "poet", "--json", "--url", gateway.url)
    assert ended.code == 0
    assert orjson.loads(ended.out)["workers"][0]["state"] == "unloaded"
    assert gateway.control.asked == [("unload", "poet")]


@pytest.mark.parametrize(
    ("code", "status"), [("adapter_refused", 2), ("not_unloadable", 2), ("engine_unavailable", 1), ("no_answer", 1)]
)
async def test_what_the_person_must_change_is_bad_input_and_the_rest_a_failure(
    coe: Coe, gateway: RunningGateway, code: str, status: int
) -> None:
    gateway.control.reports = [report(state="failed", code=code, error="so it is")]
    ended = await asyncio.to_thread(coe, "load", "poet", "--url", gateway.url)
    assert (ended.code, ended.out) == (status, "")
    assert ended.err.startswith("error: ")
    assert ended.err.endswith("so it is\n")


@pytest.mark.parametrize("name", ["bard", "../workers", "a/b", "ü"])
async def test_a_name_that_is_no_expert_is_bad_input(coe: Coe, gateway: RunningGateway, name: str) -> None:
    ended = await asyncio.to_thread(coe, "load", name, "--url", gateway.url)
    assert ended.code == 2
    assert gateway.control.asked == []


def test_a_service_that_does_not_run_is_told(coe: Coe) -> None:
    ended = coe("unload", "poet", "--url", "http://127.0.0.1:9")
    assert ended.code == 1
    assert "start it with `coe serve`" in ended.err


@pytest.mark.parametrize(
    ("verb", "told"), [("pin", "poet: pinned on w-0 (0.25 s)\n"), ("unpin", "poet: not pinned on")]
)
async def test_pinning_says_what_holds_from_now_on(coe: Coe, gateway: RunningGateway, verb: Verb, told: str) -> None:
    gateway.control.reports = [report()]
    ended = await asyncio.to_thread(coe, verb, "poet", "--url", gateway.url)
    assert ended.code == 0
    assert ended.out.startswith(told)
    assert gateway.control.asked == [(verb, "poet")]


async def test_a_service_with_a_key_is_given_it_by_option_or_environment(
    coe: Coe, start_gateway: StartGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "schlüssel-der-prüfung"
    gateway = await start_gateway(host="0.0.0.0", admin_key=key)
    gateway.control.reports = [report()]
    refused = await asyncio.to_thread(coe, "load", "poet", "--url", gateway.url)
    assert (refused.code, refused.out) == (2, "")
    assert "COE_ADMIN_KEY" in refused.err
    assert key not in refused.err
    assert (await asyncio.to_thread(coe, "load", "poet", "--url", gateway.url, "--admin-key", key)).code == 0
    monkeypatch.setenv("COE_ADMIN_KEY", f"{key}\n")
    assert (await asyncio.to_thread(coe, "unload", "poet", "--url", gateway.url)).code == 0


async def test_a_service_that_is_closed_tells_the_remedy(coe: Coe, start_gateway: StartGateway) -> None:
    gateway = await start_gateway(host="0.0.0.0")
    ended = await asyncio.to_thread(coe, "pin", "poet", "--url", gateway.url)
    assert ended.code == 2
    assert "set `server.admin_key`" in ended.err
