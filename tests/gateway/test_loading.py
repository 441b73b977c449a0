"""What a client sees of loading and unloading experts."""

from typing import Literal

import pytest

from tests.running_gateway import MakeReport, RunningGateway, StartGateway
from workers.reports import ExpertState, LoadReport


def done(worker_id: str = "w-0", *, state: ExpertState = "ready", changed: bool = True) -> LoadReport:
    return LoadReport(worker_id=worker_id, expert="poet", state=state, changed=changed, seconds=0.25)


def failed(code: str, message: str, worker_id: str = "w-1") -> LoadReport:
    return LoadReport(worker_id=worker_id, expert="poet", state="failed", code=code, error=message)


async def test_a_load_tells_of_every_worker_and_what_it_took(gateway: RunningGateway) -> None:
    gateway.control.reports = [done("w-0"), done("w-1", changed=False)]
    reply = await gateway.post("/v1/experts/poet/load", None)
    assert reply.status == 200
    assert reply.json() == {
        "expert": "poet",
        "state": "ready",
        "changed": True,
        "seconds": 0.25,
        "workers": [
            {"worker": "w-0", "state": "ready", "changed": True, "seconds": 0.25},
            {"worker": "w-1", "state": "ready", "changed": False, "seconds": 0.25},
        ],
    }
    assert gateway.control.asked == [("load", "poet")]


async def test_the_gateway_knows_at_once_that_an_expert_has_come(
    start_gateway: StartGateway, make_report: MakeReport
) -> None:
    gateway = await start_gateway(make_report("http://127.0.0.1:9", "poet", state="unloaded"))
    assert (await gateway.get("/v1/models/poet")).json()["state"] == "unloaded"
    gateway.control.reports = [done()]
    gateway.source.known = [make_report("http://127.0.0.1:9", "poet")]
    await gateway.post("/v1/experts/poet/load", None)
    assert (await gateway.get("/v1/models/poet")).json()["state"] == "ready"


async def test_an_unloaded_expert_is_a_503_with_the_remedy_and_routed_prompts_go_to_the_general_one(
    start_gateway: StartGateway, make_report: MakeReport, worker: object
) -> None:
    url = worker.url  # type: ignore[attr-defined]  # any worker
    gateway = await start_gateway(
        make_report(url, "generalist", worker_id="a"), make_report(url, "poet", worker_id="b", state="unloaded")
    )
    named = await gateway.ask("a poem", model="poet")
    assert (named.status, named.error["code"]) == (503, "expert_unavailable")
    assert "`coe load poet`" in named.error["message"]
    routed = await gateway.ask("a poem")
    assert (routed.status, routed.headers["x-coe-expert"]) == (200, "generalist")


@pytest.mark.parametrize(
    ("code", "status", "told"),
    [
        ("model_not_found", 404, "model_not_found"),
        ("not_unloadable", 409, "not_unloadable"),
        ("sleep_unsupported", 409, "sleep_unsupported"),
        ("adapter_refused", 422, "adapter_refused"),
        ("checkpoint_refused", 422, "checkpoint_refused"),
        ("source_unusable", 422, "source_unusable"),
        ("engine_unavailable", 503, "engine_unavailable"),
        ("not_admitted", 503, "not_admitted"),
        ("worker_lost", 503, "worker_lost"),
        ("no_answer", 504, "deadline_exceeded"),
        ("worker_error", 500, "internal_error"),
    ],
)
async def test_every_cause_has_its_status(gateway: RunningGateway, code: str, status: int, told: str) -> None:
    gateway.control.reports = [failed(code, "so it is")]
    reply = await gateway.post("/v1/experts/poet/load", None)
    assert (reply.status, reply.error["code"], reply.error["message"]) == (status, told, "so it is")
    assert ("retry-after" in reply.headers) == (status == 503)


async def test_where_some_workers_fail_each_is_named(gateway: RunningGateway) -> None:
    gateway.control.reports = [done("w-0"), failed("adapter_refused", "it is torn")]
    reply = await gateway.post("/v1/experts/poet/load", None)
    assert (reply.status, reply.error["code"]) == (422, "adapter_refused")
    assert reply.error["message"] == "1 of 2 workers failed. w-0: done, ready; w-1: it is torn"


async def test_an_expert_that_does_not_exist_or_that_nobody_holds_is_told(gateway: RunningGateway) -> None:
    unknown = await gateway.post("/v1/experts/bard/load", None)
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    assert "generalist, poet" in unknown.error["message"]
    assert gateway.control.asked == []
    homeless = await gateway.post("/v1/experts/poet/load", None)
    assert (homeless.status, homeless.error["code"]) == (503, "worker_lost")
    assert (await gateway.get("/v1/experts/poet/load")).status == 405


async def test_the_general_expert_stays(gateway: RunningGateway) -> None:
    refused = await gateway.post("/v1/experts/generalist/unload", None)
    assert (refused.status, refused.error["code"]) == (409, "general_expert")
    assert gateway.control.asked == []


@pytest.mark.parametrize("verb", ["pin", "unpin"])
async def test_pinning_is_told_as_loading_is_and_the_general_expert_may_be(
    gateway: RunningGateway, verb: Literal["pin", "unpin"]
) -> None:
    gateway.control.reports = [done()]
    reply = await gateway.post(f"/v1/experts/generalist/{verb}", None)
    assert (reply.status, reply.json()["changed"]) == (200, True)
    assert gateway.control.asked == [(verb, "generalist")]
