"""What the tests of the service share: a real Redis, scripted workers, and a real gateway in front of them."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import settings
from redis.asyncio import Redis

from coe.store.client import open_redis
from coe.store.embedded import EmbeddedRedis
from tests.routers.conftest import make_prompts, word_encoder  # noqa: F401  # fixtures
from tests.running_gateway import (
    EXPERTS,
    MakeReport,
    RunningGateway,
    ScriptedSource,
    Settings,
    StartGateway,
    enter_gateway,
)
from tests.scripted_worker import ScriptedWorker, StartWorker
from workers.reports import ExpertReport, ExpertState, SwapReport, Tier, WorkerReport

settings.register_profile("coe", deadline=None)  # a slow machine is no failure
settings.load_profile("coe")


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Redis server for the whole run; tests keep apart by their namespaces."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    client = open_redis(redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def absent_redis(tmp_path: Path) -> AsyncIterator[Redis]:
    """A client of a Redis that is away."""
    client = open_redis(f"unix://{tmp_path}/nothing.sock")
    yield client
    await client.aclose()


@pytest.fixture
def namespace() -> str:
    return f"test-{uuid.uuid4().hex[:8]}"


@pytest.fixture
def make_report() -> MakeReport:
    """`make_report(url, "poet", "generalist", state=…, running=…, tier=…)`: what a worker says of itself."""

    def make(
        url: str = "http://127.0.0.1:9",
        *experts: str,
        worker_id: str = "w-0",
        epoch: int = 1,
        state: ExpertState = "ready",
        running: int = 0,
        error: str | None = None,
        tier: Tier = "device",
        room: int = 0,
        wait_s: float = 0.0,
        swap_s: float = 0.0,
        swaps: tuple[SwapReport, ...] = (),
    ) -> WorkerReport:
        held = tuple(
            ExpertReport(
                name=name,
                model="base",
                state=state,
                tier=tier,
                running=running,
                error=error,
                room=room,
                wait_s=wait_s,
                swap_s=swap_s,
            )
            for name in experts or EXPERTS
        )
        return WorkerReport(
            worker_id=worker_id, group="w", url=url, pid=1, epoch=epoch, experts=held, engines=(), swaps=swaps
        )

    return make


@pytest.fixture
async def start_worker() -> AsyncIterator[StartWorker]:
    async with AsyncExitStack() as stack:

        async def start() -> ScriptedWorker:
            return await stack.enter_async_context(ScriptedWorker().listening())

        yield start


@pytest.fixture
async def worker(start_worker: StartWorker) -> ScriptedWorker:
    return await start_worker()


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    """What the gateway asks workers with."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None, sock_connect=2.0)) as session:
        yield session


@pytest.fixture
async def start_gateway(
    session: aiohttp.ClientSession,
    redis: Redis,  # so that it is closed after the gateways that write to it
    absent_redis: Redis,
) -> AsyncIterator[StartGateway]:
    """Starts gateways; keyword arguments are those of `Settings`, and `redis`."""
    async with AsyncExitStack() as stack:

        async def start(*reports: WorkerReport, redis: Redis | None = None, **settings: Any) -> RunningGateway:
            source = ScriptedSource(list(reports))
            return await enter_gateway(stack, source, session, redis or absent_redis, Settings(**settings))

        yield start


@pytest.fixture
async def gateway(start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport) -> RunningGateway:
    """A gateway in front of one worker that holds every expert."""
    return await start_gateway(make_report(worker.url))
