"""What is remembered of a chat exchange, whose text is kept, and that no answer waits for it."""

import time

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis
from structlog.testing import capture_logs

from coe.config.models import DecisionLogConfig
from coe.gateway.decision import Decision
from coe.gateway.drift_watch import DriftWatch
from coe.gateway.exchange import Exchange
from coe.gateway.observer import CHAT_PATH, DecisionObserver, KeptPrompts
from coe.plan.plans import Single
from coe.routing import RouterCard
from coe.store.client import open_redis
from coe.store.decision_log import DecisionLog, LoggedDecision
from coe.store.drift_baselines import DriftBaselines
from coe.store.embedded import EmbeddedRedis
from tests.running_gateway import ROUTER, MakeReport, RunningGateway, StartGateway
from tests.scripted_worker import ScriptedWorker, until
from workers.reports import WorkerReport


def logged(result: str) -> float:
    return REGISTRY.get_sample_value("coe_decision_log_total", {"result": result}) or 0.0


def exchange(request_id: str = "r-1", text: str = "a poem", router: RouterCard = ROUTER) -> Exchange:
    """A chat exchange that has just ended."""
    decision = Decision(
        plan=Single("poet"),
        expert="poet",
        category="poetry",
        confidence=0.9,
        abstained=False,
        probabilities={"poetry": 0.9, "law": 0.1},
        router_ms=0.3,
        router_card=router,
    )
    ended = Exchange(request_id, endpoint=CHAT_PATH, decision=decision, expert="poet", answered=True)
    ended.messages = [{"role": "user", "content": text}]
    return ended


def watching(redis: Redis, namespace: str) -> DriftWatch:
    return DriftWatch(DriftBaselines(redis, namespace), 100, 0.001)


def observe(redis: Redis, namespace: str, queued: int = 100) -> tuple[DecisionObserver, DecisionLog]:
    log = DecisionLog(redis, namespace, 60, 100)
    return DecisionObserver(log, watching(redis, namespace), queued=queued), log


@pytest.fixture
def report(worker: ScriptedWorker, make_report: MakeReport) -> WorkerReport:
    """Of one worker that holds every expert."""
    return make_report(worker.url)


@pytest.fixture
async def gateway(start_gateway: StartGateway, report: WorkerReport, redis: Redis) -> RunningGateway:
    return await start_gateway(report, redis=redis)


async def remembered(gateway: RunningGateway, text: str = "a poem", **fields: object) -> LoggedDecision | None:
    """What is known of a request when it is over."""
    reply = await gateway.ask(text, **fields)
    await gateway.settle()
    return await gateway.decisions.find(reply.headers["x-request-id"])


async def test_a_routed_request_is_remembered_with_its_decision(gateway: RunningGateway) -> None:
    before = time.time()
    found = await remembered(gateway)
    assert found is not None
    assert (found.category, found.confidence, found.abstained) == ("poetry", 0.9, False)
    assert (found.expert, found.plan, found.router_version) == ("poet", "single", ROUTER.version)
    assert before - 1 <= found.at <= time.time()
    assert found.prompt is None


async def test_of_an_abstention_the_likeliest_category_is_the_confidence(gateway: RunningGateway) -> None:
    found = await remembered(gateway, "unclear")
    assert found is not None
    assert (found.category, found.confidence, found.abstained, found.expert) == ("general", 0.9, True, "generalist")


async def test_a_named_expert_has_no_category(gateway: RunningGateway) -> None:
    found = await remembered(gateway, model="poet")
    assert found is not None
    assert (found.category, found.abstained, found.expert, found.router_version) == (None, False, "poet", "")


async def test_each_decision_is_filed_under_the_router_that_made_it(redis: Redis, namespace: str) -> None:
    """As where streams begin before a swap of the router and end after it."""
    log, drift = DecisionLog(redis, namespace, 60, 100), watching(redis, namespace)
    observer = DecisionObserver(log, drift)
    new = RouterCard("ba9876543210", ("law", "poetry"), 0.05)
    for number, router in enumerate((ROUTER, new, ROUTER, new, new)):
        observer.note(exchange(f"r-{number}", router=router))
    await observer.flush()
    found = [await log.find(f"r-{number}") for number in range(3)]
    assert [each and each.router_version for each in found] == [ROUTER.version, new.version, ROUTER.version]
    assert (drift.status(ROUTER).decisions, drift.status(new).decisions) == (2, 3)


async def test_a_request_that_nobody_answered_has_no_expert(gateway: RunningGateway, worker: ScriptedWorker) -> None:
    worker.refuses(400)
    found = await remembered(gateway)
    assert found is not None
    assert (found.category, found.expert) == ("poetry", None)


async def test_a_request_that_was_never_decided_is_not_remembered(gateway: RunningGateway) -> None:
    assert await remembered(gateway, model="nobody") is None
    assert await remembered(gateway, n=0) is None


@pytest.mark.parametrize(
    ("prompts", "texts"),
    [("none", (None, None)), ("abstained", (None, "unclear")), ("all", ("a poem", "unclear"))],
)
async def test_texts_are_kept_as_far_as_the_configuration_says(
    start_gateway: StartGateway, report: WorkerReport, redis: Redis, prompts: KeptPrompts, texts: tuple[str | None, ...]
) -> None:
    gateway = await start_gateway(report, redis=redis, log=DecisionLogConfig(prompts=prompts))
    decided, abstained = await remembered(gateway), await remembered(gateway, "unclear")
    assert decided is not None
    assert abstained is not None
    assert (decided.prompt, abstained.prompt) == texts
    assert await gateway.decisions.rejected_prompts(10) == [text for text in texts[1:] if text]


async def test_a_long_text_is_clipped_and_one_without_text_is_none(
    start_gateway: StartGateway, report: WorkerReport, redis: Redis
) -> None:
    gateway = await start_gateway(report, redis=redis, log=DecisionLogConfig(prompts="all"))
    found = await remembered(gateway, "unclear " * 2_000)
    assert found is not None
    assert found.prompt is not None
    assert len(found.prompt) == 4_000
    image = {"type": "image_url", "image_url": {"url": "data:,"}}
    found = await remembered(gateway, messages=[{"role": "user", "content": [image]}])
    assert found is not None
    assert (found.prompt, found.abstained, found.category) == (None, True, "general")
    assert (await gateway.get("/v1/router")).json()["drift"]["decisions"] == 1  # the router saw the first alone


async def test_the_background_task_empties_the_queue(gateway: RunningGateway) -> None:
    before = logged("written")
    for _ in range(3):
        await gateway.ask()
    await until(lambda: logged("written") == before + 3)


async def test_a_full_queue_drops_and_counts(redis: Redis, namespace: str) -> None:
    observer, log = observe(redis, namespace, queued=2)
    before = logged("queue_full"), logged("written")
    for number in range(5):
        observer.note(exchange(f"r-{number}"))
    await observer.flush()
    assert (logged("queue_full"), logged("written")) == (before[0] + 3, before[1] + 2)
    assert [bool(await log.find(f"r-{number}")) for number in range(5)] == [True, True, False, False, False]


async def test_more_than_a_batch_is_written(redis: Redis, namespace: str) -> None:
    observer, log = observe(redis, namespace, queued=2_000)
    for number in range(1_201):
        observer.note(exchange(f"r-{number}"))
    await observer.flush()
    assert all([await log.find(f"r-{number}") for number in (0, 99, 100, 1_200)])


async def test_answers_go_on_while_redis_is_away(
    start_gateway: StartGateway, report: WorkerReport, absent_redis: Redis
) -> None:
    before = logged("redis_away")
    gateway = await start_gateway(report, redis=absent_redis)
    with capture_logs() as lines:
        assert [(await gateway.ask()).status for _ in range(3)] == [200] * 3
        await until(lambda: logged("redis_away") == before + 3)
        await gateway.ask()
        await until(lambda: logged("redis_away") == before + 4)
    assert [line["event"] for line in lines if line["log_level"] == "warning"] == [
        "Redis is away; decisions are not logged"
    ]


async def test_when_redis_is_back_decisions_are_logged_again(
    tmp_path_factory: pytest.TempPathFactory, namespace: str
) -> None:
    folder = tmp_path_factory.mktemp("redis")
    async with open_redis(f"unix://{folder}/redis.sock") as client:
        observer, log = observe(client, namespace)
        observer.note(exchange("r-1"))
        await observer.flush()
        with EmbeddedRedis(folder), capture_logs() as lines:
            observer.note(exchange("r-2"))
            await observer.flush()
            assert await log.find("r-1") is None
            assert await log.find("r-2")
    assert [line["event"] for line in lines] == ["Redis is back; decisions are logged again"]


async def test_other_exchanges_are_none_of_its_business(redis: Redis, namespace: str) -> None:
    observer, log = observe(redis, namespace)
    dry_run = exchange()
    dry_run.endpoint = "/v1/route"
    observer.note(dry_run)
    undecided = exchange()
    undecided.decision = None
    observer.note(undecided)
    await observer.flush()
    assert await log.find("r-1") is None
