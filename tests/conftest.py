"""What the tests of the service share: a real Redis, scripted workers, and a real gateway in front of them."""

from __future__ import annotations

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import aiohttp
import pytest
import uvicorn
from aiohttp import web
from redis.asyncio import Redis

from coe.config.models import CacheConfig
from coe.gateway.app import build_app
from coe.gateway.chat import ChatEndpoint, ChatLimits
from coe.gateway.decision import Decider
from coe.gateway.fleet import Fleet
from coe.gateway.pages import ExpertCard, Pages
from coe.plan.cached_expert import CachedExpert
from coe.plan.executor import Executor
from coe.plan.worker_expert import WorkerExpert
from coe.store.client import open_redis
from coe.store.embedded import EmbeddedRedis
from coe.store.response_cache import ResponseCache
from routers.router import Classification
from workers.spec import ExpertReport, ExpertState, WorkerReport

TOKEN = "token-of-the-tests"
EXPERTS = ("generalist", "poet")
GENERAL = "generalist"
PROBABILITIES = {"poetry": 0.9, "law": 0.1}
SOON_S = 5.0

Play = Callable[[web.Request, dict[str, Any]], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it reached a worker."""

    body: dict[str, Any]
    headers: dict[str, str]


class ScriptedWorker:
    """A worker's data port that does what the test tells it; by default it answers in two words.

    `asked` keeps what arrived, `running` counts requests under way, `aborted` those whose client went away.
    """

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[Asked] = []
        self.running = 0
        self.aborted = 0
        self.swap_ms = 0.0
        self._play: Play = self._answer
        self._released = asyncio.Event()

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[ScriptedWorker]:
        app = web.Application(client_max_size=2**26)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        try:
            yield self
        finally:
            await runner.cleanup()

    def refuses(self, status: int, code: str | None = "refused", *, retry_after: int | None = None) -> None:
        """Answers with an error in OpenAI's shape."""
        error = {"message": f"scripted {status}", "type": "scripted_error", "param": "n", "code": code}
        headers = {"retry-after": str(retry_after)} if retry_after else {}

        async def play(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
            return web.json_response({"error": error}, status=status, headers=headers)

        self._play = play

    def sends(self, body: bytes, status: int = 200, content_type: str = "application/json") -> None:
        """Answers with these bytes at once."""

        async def play(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
            return web.Response(body=body, status=status, content_type=content_type)

        self._play = play

    def streams(self, *pieces: bytes) -> None:
        """Streams these bytes, piece by piece, to a proper end."""

        async def play(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
            return await _stream(request, pieces)

        self._play = play

    def stalls(self, *pieces: bytes) -> None:
        """Streams these bytes, possibly none and no headers, then waits for `release` and answers as usual."""

        async def play(request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
            if not pieces:
                await self._released.wait()
                return await self._answer(request, asked)
            response = await _begin(request, pieces)
            await self._released.wait()
            for frame in self.frames(asked):
                await response.write(frame)
            return response

        self._play = play

    def dies(self, *pieces: bytes, sending: str = "text/event-stream") -> None:
        """Streams these bytes, then its connection breaks; without any it breaks before an answer began."""

        async def play(request: web.Request, _: dict[str, Any]) -> web.StreamResponse:
            if pieces:
                await _begin(request, pieces, sending)
            return await _break(request)

        self._play = play

    def release(self) -> None:
        """Lets stalled requests go on."""
        self._released.set()

    def frames(self, asked: dict[str, Any]) -> list[bytes]:
        """The frames of the usual answer to a streamed request."""
        model = asked["model"]
        frames = [chunk(model, word) for word in ("Hello ", "there.")]
        if asked.get("stream_options", {}).get("include_usage"):
            frames.append(usage_chunk(model))
        return [*frames, DONE]

    async def _chat(self, request: web.Request) -> web.StreamResponse:
        asked = await request.json()
        self.asked.append(Asked(asked, {name.lower(): value for name, value in request.headers.items()}))
        self.running += 1
        try:
            return await self._play(request, asked)
        except asyncio.CancelledError:
            self.aborted += 1
            raise
        finally:
            self.running -= 1

    async def _answer(self, request: web.Request, asked: dict[str, Any]) -> web.StreamResponse:
        headers = {"x-coe-swap-ms": f"{self.swap_ms:.1f}"}
        if not asked.get("stream"):
            return web.Response(body=completion(asked["model"]), content_type="application/json", headers=headers)
        return await _stream(request, self.frames(asked), headers)


DONE = b"data: [DONE]\n\n"
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def chunk(model: str, text: str) -> bytes:
    """One frame of a streamed answer, as vLLM writes it."""
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    return b"data: " + compact({"id": "c", "model": model, "choices": [choice]}) + b"\n\n"


def usage_chunk(model: str) -> bytes:
    return b"data: " + compact({"id": "c", "model": model, "choices": [], "usage": USAGE}) + b"\n\n"


def completion(model: str, text: str = "Hello there.") -> bytes:
    message = {"role": "assistant", "content": text}
    return compact({"id": "c", "model": model, "choices": [{"index": 0, "message": message}], "usage": USAGE})


async def _begin(
    request: web.Request,
    pieces: Sequence[bytes],
    content_type: str = "text/event-stream",
    headers: dict[str, str] | None = None,
) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": content_type, **(headers or {})})
    await response.prepare(request)
    for piece in pieces:
        await response.write(piece)
        await asyncio.sleep(0)
    return response


async def _stream(
    request: web.Request, pieces: Sequence[bytes], headers: dict[str, str] | None = None
) -> web.StreamResponse:
    response = await _begin(request, pieces, headers=headers)
    await response.write_eof()
    return response


async def _break(request: web.Request) -> NoReturn:
    await asyncio.sleep(0.05)  # what was written arrives first
    assert request.transport is not None
    request.transport.abort()
    raise asyncio.CancelledError


class ScriptedClassifier:
    """Knows poetry by the word; abstains where it reads `unclear`; `texts` keeps what it was asked."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    async def classify(self, text: str) -> Classification:
        self.texts.append(text)
        if "unclear" in text:
            return Classification("general", 0.8, abstained=True, in_scope=0.2, probabilities=PROBABILITIES)
        category = "poetry" if "poem" in text else "law"
        confidence = PROBABILITIES[category]
        return Classification(category, confidence, abstained=False, in_scope=0.9, probabilities=PROBABILITIES)


@dataclass(slots=True)
class ScriptedSource:
    """Worker reports that a test sets; `error` is raised instead where there is one."""

    known: list[WorkerReport] = field(default_factory=list)
    error: Exception | None = None

    async def reports(self) -> list[WorkerReport]:
        if self.error:
            raise self.error
        return list(self.known)


@dataclass(slots=True)
class RunningGateway:
    """A gateway on a port, its parts, and a client for it."""

    url: str
    client: aiohttp.ClientSession
    fleet: Fleet
    source: ScriptedSource
    chat: ChatEndpoint
    classifier: ScriptedClassifier

    async def ask(self, text: str = "a poem", **fields: object) -> aiohttp.ClientResponse:
        """Posts a chat request whose reply is read completely."""
        body = {"model": "coe", "messages": [{"role": "user", "content": text}], **fields}
        return await self.post("/v1/chat/completions", body)

    async def post(self, path: str, body: object) -> aiohttp.ClientResponse:
        async with self.client.post(path, json=body) as reply:
            await reply.read()
            return reply

    async def get(self, path: str) -> aiohttp.ClientResponse:
        async with self.client.get(path) as reply:
            await reply.read()
            return reply


MakeReport = Callable[..., WorkerReport]
StartGateway = Callable[..., Awaitable[RunningGateway]]
StartWorker = Callable[[], Awaitable[ScriptedWorker]]
Until = Callable[[Callable[[], bool]], Awaitable[None]]


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
def until() -> Until:
    """Waits until something is true, and fails where it is not soon."""

    async def wait(condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SOON_S):
            while not condition():
                await asyncio.sleep(0.01)

    return wait


@pytest.fixture
def make_report() -> MakeReport:
    """`make_report(url, "poet", "generalist", state=…, running=…, error=…)`: what a worker says of itself."""

    def make(
        url: str = "http://127.0.0.1:9",
        *experts: str,
        worker_id: str = "w-0",
        epoch: int = 1,
        state: ExpertState = "ready",
        running: int = 0,
        error: str | None = None,
    ) -> WorkerReport:
        held = tuple(
            ExpertReport(name=name, model="base", state=state, tier="device", running=running, error=error)
            for name in experts or EXPERTS
        )
        return WorkerReport(worker_id=worker_id, group="w", url=url, pid=1, epoch=epoch, experts=held, engines=())

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
async def start_gateway(session: aiohttp.ClientSession, absent_redis: Redis) -> AsyncIterator[StartGateway]:
    """Starts gateways; keyword arguments replace the settings."""
    async with AsyncExitStack() as stack:

        async def start(
            *reports: WorkerReport,
            timeout_s: float = 20.0,
            ping_interval_s: float = 10.0,
            max_concurrent: int = 64,
            max_body_bytes: int = 100_000,
            cache: CacheConfig | None = None,
            redis: Redis | None = None,
        ) -> RunningGateway:
            cache = cache or CacheConfig()
            source, classifier = ScriptedSource(list(reports)), ScriptedClassifier()
            fleet = Fleet([source])
            await fleet.refresh()
            store = ResponseCache(redis or absent_redis, uuid.uuid4().hex, cache.ttl_s, cache.max_answer_kb * 1024)
            experts = {
                name: CachedExpert(WorkerExpert(name, fleet, session, TOKEN), store, cache.mode, name, None)
                for name in EXPERTS
            }
            decider = Decider(classifier, EXPERTS, {"poetry": "poet"}, GENERAL)
            chat = ChatEndpoint(decider, Executor(experts), ChatLimits(max_body_bytes, max_concurrent, ping_interval_s))
            cards = [ExpertCard(name, f"The {name}.", 0.135) for name in EXPERTS]
            app = build_app(chat, Pages(decider, fleet, cards, GENERAL, max_body_bytes), timeout_s)
            url = await stack.enter_async_context(_served(app))
            client = await stack.enter_async_context(aiohttp.ClientSession(url))
            return RunningGateway(url, client, fleet, source, chat, classifier)

        yield start


@asynccontextmanager
async def _served(app: Any) -> AsyncIterator[str]:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_level="critical", timeout_graceful_shutdown=1))
        serving = asyncio.create_task(server.serve([listening]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def gateway(start_gateway: StartGateway, worker: ScriptedWorker, make_report: MakeReport) -> RunningGateway:
    """A gateway in front of one worker that holds every expert."""
    return await start_gateway(make_report(worker.url))
