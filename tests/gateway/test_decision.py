from dataclasses import dataclass, field

import pytest
from redis.asyncio import Redis

from coe.alternatives import Alternative
from coe.errors import ModelNotFoundError
from coe.gateway.decision import Decider
from coe.gateway.fleet import Fleet
from coe.plan.plans import Single
from coe.plan.request import JsonValue
from coe.telemetry.metrics import RESIDENT_ROUTED
from tests.running_gateway import EXPERTS, GENERAL, ROUTER, MakeReport, ScriptedClassifier, StartGateway, make_planner
from tests.scripted_worker import ScriptedWorker


@pytest.fixture
def decider() -> Decider:
    return Decider(ScriptedClassifier(), EXPERTS, GENERAL, Fleet([]), make_planner())


async def test_the_router_names_the_expert_and_the_general_one_stands_by(decider: Decider) -> None:
    found = await decider.decide("coe", [{"role": "user", "content": "a poem"}])
    assert found.plan == Single("poet", fallback="generalist")
    assert (found.expert, found.category, found.confidence, found.abstained) == ("poet", "poetry", 0.9, False)
    assert (found.router_card, found.router_version) == (ROUTER, ROUTER.version)


@pytest.mark.parametrize(("model", "messages"), [("poet", [{"role": "user", "content": "a poem"}]), ("coe", [])])
async def test_no_version_is_named_where_no_router_decided(
    decider: Decider, model: str, messages: list[JsonValue]
) -> None:
    found = await decider.decide(model, messages)
    assert (found.router_card, found.router_version) == (None, "")


async def test_the_whole_conversation_is_looked_at_where_the_last_message_is_short() -> None:
    classifier = ScriptedClassifier()
    decider = Decider(classifier, EXPERTS, GENERAL, Fleet([]), make_planner())
    messages = [
        {"role": "system", "content": "Write poems."},
        {"role": "user", "content": "Write a poem about rain."},
        {"role": "assistant", "content": "Drip, drop."},
        {"role": "user", "content": "And in French?"},
    ]
    found = await decider.decide("coe", messages)  # type: ignore[arg-type]  # lists are invariant
    assert found.expert == "poet"
    assert classifier.texts == ["Write a poem about rain.\nAnd in French?"]


@pytest.mark.parametrize("model", ["coe/none", "Poet", "poet ", "general", "poetry"])
async def test_only_the_service_and_its_experts_are_models(decider: Decider, model: str) -> None:
    with pytest.raises(ModelNotFoundError) as caught:
        await decider.decide(model, [])
    assert model not in str(caught.value) or model in "generalist"


NEAR = (Alternative("critic", 0.01), Alternative("clerk", 0.02))


@dataclass(slots=True)
class ScriptedResidents:
    """Experts with room on a device, and those there without."""

    room: set[str] = field(default_factory=set)
    full: set[str] = field(default_factory=set)

    def is_resident(self, expert: str) -> bool:
        return expert in self.room | self.full

    def has_room(self, expert: str) -> bool:
        return expert in self.room


@pytest.mark.parametrize(
    ("residents", "taken"),
    [
        (ScriptedResidents(room={"critic", "clerk"}), "critic"),
        (ScriptedResidents(room={"clerk"}, full={"critic"}), "clerk"),
        (ScriptedResidents(full={"critic"}), None),
        (ScriptedResidents(room={"generalist"}), None),
        (ScriptedResidents(room={"poet", "critic"}), None),
        (ScriptedResidents(room={"critic"}, full={"poet"}), None),  # its turn comes without a swap
    ],
)
async def test_a_resident_expert_is_taken_where_that_saves_a_swap(
    residents: ScriptedResidents, taken: str | None
) -> None:
    classifier = ScriptedClassifier()
    classifier.alternatives = NEAR
    decider = Decider(classifier, [*EXPERTS, "critic", "clerk"], GENERAL, residents, make_planner())
    found = await decider.decide("coe", [{"role": "user", "content": "a poem"}])
    assert (found.expert, found.instead_of) == ((taken, "poet") if taken else ("poet", None))
    assert found.score_loss == (next(near.score_loss for near in NEAR if near.expert == taken) if taken else 0)
    assert found.plan == Single(found.expert, fallback=GENERAL)
    assert (found.wanted, found.category) == ("poet", "poetry")


async def test_without_alternatives_residency_is_not_looked_at() -> None:
    decider = Decider(ScriptedClassifier(), EXPERTS, GENERAL, ScriptedResidents(room={"generalist"}), make_planner())
    found = await decider.decide("coe", [{"role": "user", "content": "a poem"}])
    assert (found.expert, found.instead_of) == ("poet", None)


async def test_who_stood_in_is_told_in_header_dry_run_log_and_metric(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, redis: Redis
) -> None:
    gateway = await start_gateway(
        make_report(worker.url, "generalist", worker_id="a", room=4),
        make_report(worker.url, "poet", worker_id="b", tier="disk", room=4),
        redis=redis,
    )
    assert "x-coe-instead-of" not in (await gateway.ask("a poem")).headers
    gateway.classifier.alternatives = (Alternative("generalist", 0.01),)
    counted = RESIDENT_ROUTED.labels("generalist", "poet")
    before = counted._value.get()
    reply = await gateway.ask("a poem", stream=True)
    assert (reply.headers["x-coe-expert"], reply.headers["x-coe-instead-of"]) == ("generalist", "poet")
    assert counted._value.get() == before + 1
    dry = (await gateway.post("/v1/route", {"prompt": "a poem"})).json()
    assert (dry["expert"], dry["instead_of"]) == ("generalist", "poet")
    await gateway.settle()
    logged = await gateway.decisions.find(reply.headers["x-request-id"])
    assert logged is not None
    assert (logged.expert, logged.instead_of, logged.category) == ("generalist", "poet", "poetry")
    assert (await gateway.get("/v1/demand")).json()["experts"].keys() == {"poet"}
