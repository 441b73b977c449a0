"""Drift as operators see it: one line when it begins, one when it is over, gauges, and `GET /v1/router`."""

from collections.abc import Mapping
from typing import Any

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from structlog.testing import capture_logs

from coe.errors import UnavailableError
from coe.gateway.drift_watch import DriftWatch
from coe.routing import RouterCard
from coe.store.drift_baselines import DriftBaselines
from routers.drift import DecisionCounts
from tests.running_gateway import ROUTER, MakeReport, RunningGateway, ScriptedClassifier, StartGateway
from tests.scripted_worker import ScriptedWorker

USUAL = ([None] + ["law"] * 10 + ["poetry"] * 9) * 5  # 5 % rejected, 100 decisions
LOST: list[str | None] = [None] * 50 + ["law"] * 27 + ["poetry"] * 23
NEXT_ROUTER = RouterCard("ba9876543210", ("law", "poetry"), 0.05)
Events = list[Mapping[str, Any]]


class SwappedRouter(ScriptedClassifier):
    """Another is in force as soon as a test says so."""

    in_force = ROUTER

    async def card(self) -> RouterCard:
        return self.in_force


class AbsentRouter(ScriptedClassifier):
    async def card(self) -> RouterCard:
        raise UnavailableError("The router does not answer now.", code="router_unavailable")


@pytest.fixture
def watch(redis: Redis, namespace: str) -> DriftWatch:
    return DriftWatch(DriftBaselines(redis, namespace), 100, 0.001)


def gauge(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(name, labels)


def told(lines: list[Any]) -> list[tuple[str, str, str]]:
    return [(line["log_level"], line["event"], line["kind"]) for line in lines]


async def test_one_line_when_it_begins_and_one_when_it_is_over(watch: DriftWatch) -> None:
    with capture_logs() as lines:
        await watch.observe(ROUTER, USUAL)
        await watch.observe(ROUTER, USUAL)
    assert lines == []
    with capture_logs() as lines:
        for _ in range(3):
            await watch.observe(ROUTER, LOST)
    assert told(lines) == [("warning", "router drift", "rejection")]
    assert lines[0]["router_version"] == ROUTER.version
    assert lines[0]["rejection_ratio"] > lines[0]["expected_rejection_ratio"][1]
    with capture_logs() as lines:
        for _ in range(3):
            await watch.observe(ROUTER, USUAL)
    assert told(lines) == [("info", "router drift is over", "rejection")]


async def test_gauges_show_the_last_look(watch: DriftWatch) -> None:
    for _ in range(2):
        await watch.observe(ROUTER, USUAL)
    assert gauge("coe_router_drift", kind="rejection") == gauge("coe_router_drift", kind="mix") == 0
    assert gauge("coe_router_rejection_ratio") == 0.05
    await watch.observe(ROUTER, ["law"] * 100)
    assert gauge("coe_router_drift", kind="mix") == 1
    assert gauge("coe_router_rejection_ratio") == 0
    psi = gauge("coe_router_psi")
    assert psi is not None
    assert psi > 0.25


async def test_another_router_begins_anew(watch: DriftWatch) -> None:
    for decisions in (USUAL, USUAL, LOST):
        await watch.observe(ROUTER, decisions)
    assert gauge("coe_router_drift", kind="rejection") == 1
    with capture_logs() as lines:
        for _ in range(3):
            await watch.observe(NEXT_ROUTER, LOST)
    assert lines == []
    assert gauge("coe_router_drift", kind="rejection") == 0


async def test_streams_that_end_after_a_swap_count_for_the_router_that_decided_them(watch: DriftWatch) -> None:
    await watch.observe(ROUTER, USUAL[:50])
    for decision in USUAL[:30]:
        await watch.observe(NEXT_ROUTER, [decision])
        await watch.observe(ROUTER, [decision])
    assert (watch.status(ROUTER).decisions, watch.status(NEXT_ROUTER).decisions) == (80, 30)


async def test_only_the_last_two_routers_are_remembered(watch: DriftWatch) -> None:
    third = RouterCard("third", ("law", "poetry"), 0.05)
    for card in (ROUTER, NEXT_ROUTER, third):
        await watch.observe(card, USUAL)
    assert [watch.status(card).decisions for card in (ROUTER, NEXT_ROUTER, third)] == [0, 100, 100]


async def test_gateways_share_the_baseline_of_the_first(redis: Redis, namespace: str) -> None:
    """As after a restart: what was usual is known, so traffic that has changed meanwhile is told."""
    baselines = DriftBaselines(redis, namespace)
    await DriftWatch(baselines, 100, 0.001).observe(ROUTER, USUAL)
    later = DriftWatch(baselines, 100, 0.001)
    with capture_logs() as lines:
        await later.observe(ROUTER, LOST)
        await later.observe(ROUTER, LOST[:50])
    assert told(lines) == [("warning", "router drift", "rejection")]


async def test_without_redis_a_gateway_has_its_own_and_offers_it_later(
    absent_redis: Redis, redis: Redis, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    away, back = DriftBaselines(absent_redis, namespace), DriftBaselines(redis, namespace)
    watch = DriftWatch(away, 100, 0.001)
    await watch.observe(ROUTER, USUAL)
    with capture_logs() as lines:
        await watch.observe(ROUTER, LOST)
    assert told(lines) == [("warning", "router drift", "rejection")]
    monkeypatch.setattr(away, "agree", back.agree)
    await watch.observe(ROUTER, LOST[:1])
    assert await back.agree(ROUTER.version, DecisionCounts(99, {"law": 1})) == DecisionCounts(
        5, {"law": 50, "poetry": 45}
    )


async def router(gateway: RunningGateway) -> Any:
    reply = await gateway.get("/v1/router")
    assert reply.status == 200
    return reply.json()


async def test_the_router_is_shown_before_it_has_decided_anything(gateway: RunningGateway) -> None:
    assert await router(gateway) == {
        "version": ROUTER.version,
        "categories": ["law", "poetry"],
        "reject_rate": 0.05,
        "drift": {
            "window": 100,
            "decisions": 0,
            "rejection_ratio": None,
            "expected_rejection_ratio": None,
            "psi": None,
            "drifted": {"rejection": False, "mix": False},
        },
    }


async def test_routed_requests_move_the_window_and_others_do_not(
    start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport, redis: Redis
) -> None:
    gateway = await start_gateway(make_report(worker.url), redis=redis, drift_window=20)
    for text in ["a poem", "a law"] * 10:
        await gateway.ask(text)
    await gateway.settle()
    await gateway.ask("unclear", model="poet")
    await gateway.post("/v1/route", {"prompt": "unclear"})
    worker.refuses(400)
    for _ in range(20):
        await gateway.ask("unclear")
    await gateway.settle()
    drift = (await router(gateway))["drift"]
    assert (drift["window"], drift["decisions"]) == (20, 20)
    assert drift["rejection_ratio"] == 1.0
    low, high = drift["expected_rejection_ratio"]
    assert 0 <= low <= high < 1
    assert drift["drifted"] == {"rejection": True, "mix": False}


async def test_the_router_in_force_is_shown_whoever_decided_last(start_gateway: StartGateway) -> None:
    swapped = SwappedRouter()
    gateway = await start_gateway(router=swapped)
    await gateway.ask()
    await gateway.settle()
    before = await router(gateway)
    swapped.in_force = NEXT_ROUTER
    after = await router(gateway)
    assert (before["version"], before["drift"]["decisions"]) == (ROUTER.version, 1)
    assert (after["version"], after["drift"]["decisions"]) == (NEXT_ROUTER.version, 0)


async def test_a_router_that_cannot_be_asked_is_told(start_gateway: StartGateway) -> None:
    gateway = await start_gateway(router=AbsentRouter())
    reply = await gateway.get("/v1/router")
    assert (reply.status, reply.error["code"]) == (503, "router_unavailable")
