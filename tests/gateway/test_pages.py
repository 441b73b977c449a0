from prometheus_client.parser import text_string_to_metric_families

from tests.running_gateway import ROUTER, MakeReport, RunningGateway, StartGateway
from tests.scripted_worker import ScriptedWorker
from workers.report_json import report_from_json


async def test_models_are_the_routed_one_every_expert_and_every_plan(gateway: RunningGateway) -> None:
    listed = (await gateway.get("/v1/models")).json()
    assert listed["object"] == "list"
    ids = [model["id"] for model in listed["data"]]
    assert ids[:3] == ["coe", "generalist", "poet"]
    assert {"coe/self-moa", "coe/moa", "coe/self-moa-seq", "coe/cascade"} <= set(ids[3:])
    assert {model["state"] for model in listed["data"]} == {"ready"}
    poet = listed["data"][2]
    assert (poet["object"], poet["owned_by"], poet["state"]) == ("model", "coe", "ready")
    assert (poet["description"], poet["active_params_b"]) == ("The poet.", 0.135)
    assert isinstance(poet["created"], int)


async def test_one_model_is_shown_or_missing(gateway: RunningGateway) -> None:
    assert (await gateway.get("/v1/models/poet")).json()["id"] == "poet"
    missing = await gateway.get("/v1/models/meta/llama")
    assert (missing.status, missing.error["code"]) == (404, "model_not_found")


async def test_a_model_that_no_worker_holds_is_absent(start_gateway: StartGateway, make_report: MakeReport) -> None:
    gateway = await start_gateway(make_report("http://127.0.0.1:9", "generalist"))
    assert (await gateway.get("/v1/models/poet")).json()["state"] == "absent"


async def test_route_decides_and_runs_nothing(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    reply = await gateway.post("/v1/route", {"prompt": "a poem"})
    decision = reply.json()
    assert decision.pop("router_ms") > 0
    tree = decision.pop("tree")
    assert (tree["node"], tree["expert"], tree["max_calls"]) == ("answer", "poet", 1)
    assert decision == {
        "category": "poetry",
        "confidence": 0.9,
        "abstained": False,
        "expert": "poet",
        "chosen_by": "map",
        "instead_of": None,
        "score_loss": 0.0,
        "plan": "single",
        "probabilities": {"poetry": 0.9, "law": 0.1},
        "in_scope": 0.9,
        "reject_rate": ROUTER.reject_rate,
        "router_version": ROUTER.version,
    }
    assert reply.headers["x-coe-expert"] == "poet"
    messages = [{"role": "user", "content": "unclear"}]
    abstained = (await gateway.post("/v1/route", {"messages": messages})).json()
    assert (abstained["category"], abstained["expert"], abstained["abstained"]) == ("general", "generalist", True)
    assert worker.asked == []


async def test_route_says_of_messages_without_text_that_nothing_was_classified(gateway: RunningGateway) -> None:
    messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]
    decision = (await gateway.post("/v1/route", {"messages": messages})).json()
    assert (decision["chosen_by"], decision["abstained"]) == ("abstention", True)
    assert (decision["in_scope"], decision["reject_rate"], decision["probabilities"]) == (None, None, {})


async def test_health_says_that_the_process_is_up(start_gateway: StartGateway) -> None:
    gateway = await start_gateway()
    assert (await gateway.get("/health")).status == 200


async def test_ready_as_soon_as_the_general_expert_is(start_gateway: StartGateway, make_report: MakeReport) -> None:
    gateway = await start_gateway(make_report("http://127.0.0.1:9", state="loading"))
    before = await gateway.get("/ready")
    assert (before.status, before.json()["ready"]) == (503, False)
    assert before.json()["experts"] == {"generalist": "loading", "poet": "loading"}
    gateway.source.known = [make_report("http://127.0.0.1:9", "generalist")]
    await gateway.fleet.refresh()
    after = await gateway.get("/ready")
    assert (after.status, after.json()) == (200, {"ready": True, "experts": {"generalist": "ready"}})


async def test_workers_shows_the_reports_as_they_are(gateway: RunningGateway, make_report: MakeReport) -> None:
    body = (await gateway.get("/v1/workers")).body
    assert report_from_json(body[1:-1]) == gateway.source.known[0]


async def read_metrics(gateway: RunningGateway) -> dict[tuple[str, ...], float]:
    """Value by name and label values."""
    reply = await gateway.get("/metrics")
    assert reply.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(reply.body.decode())
    return {(found.name, *found.labels.values()): found.value for family in families for found in family.samples}


async def test_metrics_count_requests_routes_and_tokens(
    gateway: RunningGateway, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    before = await read_metrics(gateway)
    await gateway.ask("a poem")
    await gateway.ask("a poem", stream=True)
    await gateway.ask("unclear")
    worker.refuses(400)
    await gateway.ask("a poem")
    gateway.source.known = [make_report(worker.url, running=3)]
    await gateway.fleet.refresh()
    after = await read_metrics(gateway)

    def grown(*key: str) -> float:
        return after[key] - before.get(key, 0.0)

    chat = "/v1/chat/completions"
    assert grown("coe_requests_total", chat, "poet", "200") == 2
    assert grown("coe_requests_total", chat, "generalist", "200") == 1
    assert grown("coe_requests_total", chat, "poet", "400") == 1
    assert grown("coe_request_duration_seconds_count", chat, "poet") == 3
    assert grown("coe_time_to_first_token_seconds_count", "poet") == 1
    assert grown("coe_route_decisions_total", "poetry", "poet") == 3
    assert grown("coe_route_abstentions_total") == 1
    assert grown("coe_route_duration_seconds_count") == 4
    # usage is counted whether the client asked for it or not, streamed or not
    assert grown("coe_tokens_total", "poet", "prompt") == 14
    assert grown("coe_tokens_total", "poet", "completion") == 6
    assert after["coe_expert_ready", "poet", "w-0"] == 1
    assert after["coe_expert_running_requests", "poet", "w-0"] == 3
