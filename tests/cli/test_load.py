"""`coe load` and `coe unload` against a gateway whose workers are scripted."""

import asyncio

import orjson
import pytest

from tests.cli.commands import Coe
from tests.running_gateway import RunningGateway
from workers.spec import LoadReport


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
