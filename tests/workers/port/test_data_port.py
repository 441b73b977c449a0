"""The port between a client and a scripted engine in this process."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import aiohttp
import pytest

from tests.workers.scripted_mechanism import ScriptedMechanism
from workers.admission import Admission, Limits
from workers.engine.server import ENGINE_URL, engine_session
from workers.openai_errors import Failure, RefusedError
from workers.policies import Cost, FcfsLru, Memory
from workers.port.data_port import DataPort, Lease
from workers.port.requests import ExpertRequest
from workers.port.serving import Serving, current_request
from workers.residency import Residency
from workers.spec import ExpertSpec, Sampling


def admission() -> Admission:
    """Of one expert, two of whose requests run and one waits; its weights come after 0.2 s."""
    memory = Memory(costs={"base": Cost(size=1, load_s={"disk": 0.2})}, device_bytes=1, host_bytes=0)
    limits = Limits(max_running=2, max_queued=1, queue_timeout_s=0.5)
    residency = Residency(memory, ScriptedMechanism(memory), FcfsLru())
    return Admission(residency, {"poet": "base"}, FcfsLru(), limits)


@dataclass
class Poet:
    """An expert on the scripted engine; `failure` makes it refuse."""

    session: aiohttp.ClientSession
    name: str = "poet"
    base_url: str = ENGINE_URL
    failure: Failure | None = None
    admission: Admission = field(default_factory=admission)
    expected: list[float] = field(default_factory=list)
    request: ExpertRequest = field(
        default_factory=lambda: ExpertRequest(
            ExpertSpec(name="poet", model="base", system="Rhyme.", sampling=Sampling(temperature=0.5)), "base"
        )
    )

    def refusal(self) -> Failure | None:
        return self.failure

    def expect(self, probability: float) -> None:
        self.expected.append(probability)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        async with self.admission.slot("poet") as turn:
            if self.failure:
                raise RefusedError(self.failure)
            yield Lease(self.request, turn.tier, turn.swap_s, turn.waited_s, turn.swap)


class Port:
    """A port, its engine, its one expert, and a client."""

    def __init__(self, engine: Any, poet: Poet, client: aiohttp.ClientSession) -> None:
        self.engine, self.poet, self.client = engine, poet, client
        self.served: list[Serving] = []
        self.port = DataPort(
            {"poet": poet},
            report=lambda: b'{"report": 1}',
            host="127.0.0.1",
            token="secret",
            on_served=self.served.append,
        )

    def chat(self, script: str, *, headers: dict[str, str] | None = None, **fields: Any) -> Any:
        body = {"model": "poet", "messages": [{"role": "user", "content": script}]} | fields
        return self.client.post(f"{self.port.url}/v1/chat/completions", json=body, headers=headers)


@pytest.fixture
async def port(tmp_path: Path, scripted: ModuleType, client: aiohttp.ClientSession) -> AsyncIterator[Port]:
    engine, socket = scripted.ScriptedEngine(), tmp_path / "e.sock"
    async with engine.serve(socket), engine_session(socket) as session:
        port = Port(engine, Poet(session), client)
        await port.port.start()
        client.headers["x-coe-token"] = "secret"
        yield port
        await port.port.stop()


async def eventually(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


async def failure(response: aiohttp.ClientResponse) -> dict[str, Any]:
    error: dict[str, Any] = (await response.json())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    return error


async def test_an_answer_bears_the_experts_name_and_its_settings_reached_the_engine(port: Port) -> None:
    async with port.chat("hello", headers={"x-request-id": "r-1"}) as response:
        answer = await response.json()
    assert response.status == 200
    assert answer["model"] == "poet"
    assert answer["choices"][0]["message"]["content"] == "word0 word1 word2 word3 "
    asked, headers = port.engine.seen[0]
    assert asked["model"] == "base"
    assert asked["messages"][0] == {"role": "system", "content": "Rhyme."}
    assert asked["temperature"] == 0.5
    assert headers["x-request-id"] == "r-1"


async def test_a_stream_arrives_as_it_is_made(port: Port) -> None:
    arrivals = []
    async with port.chat("slow:5", stream=True) as response:
        assert response.content_type == "text/event-stream"
        lines = []
        async for line in response.content:
            if line.strip():
                lines.append(line.decode().strip())
                arrivals.append(time.monotonic())
    assert [json.loads(line[6:])["model"] for line in lines[:-1]] == ["poet"] * 5
    assert lines[-1] == "data: [DONE]"
    assert arrivals[4] - arrivals[0] > 0.15


@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_ends_its_request_in_the_engine(port: Port, stream: bool) -> None:
    response = port.chat("slow:1000", stream=stream)
    task = asyncio.create_task(response.__aenter__())
    await eventually(lambda: port.engine.running == 1)
    if stream:
        (await task).close()
    else:
        task.cancel()
    await eventually(lambda: port.engine.running == 0)
    assert port.engine.aborted == 1
    await eventually(lambda: port.poet.admission.running("poet") == 0)


async def test_a_client_that_leaves_the_queue_never_reaches_the_engine(port: Port) -> None:
    tasks = [asyncio.create_task(port.chat("hang").__aenter__()) for _ in range(3)]
    await eventually(lambda: port.poet.admission.waiting("poet") == 1)
    for task in tasks:
        task.cancel()
    await eventually(lambda: port.engine.running == 0 and port.poet.admission.waiting("poet") == 0)
    assert len(port.engine.seen) == 2


async def test_too_many_requests_are_told_when_to_come_again(port: Port) -> None:
    running = [asyncio.create_task(port.chat("hang").__aenter__()) for _ in range(2)]
    await eventually(lambda: port.engine.running == 2)
    waiting = asyncio.create_task(port.chat("hello").__aenter__())
    await eventually(lambda: port.poet.admission.waiting("poet") == 1)
    async with port.chat("hello") as response:
        assert response.status == 429
        assert int(response.headers["retry-after"]) >= 1
        assert (await failure(response))["code"] == "queue_full"
    late = await waiting
    assert late.status == 503
    assert (await failure(late))["code"] == "queue_timeout"
    for task in running:
        task.cancel()


async def test_who_may_not_or_asks_amiss_is_refused(port: Port) -> None:
    async with port.chat("hello", headers={"x-coe-token": "guess"}) as response:
        assert (response.status, (await failure(response))["code"]) == (401, "invalid_token")
    async with port.chat("hello", model="nobody") as response:
        error = await failure(response)
        assert (response.status, error["code"], error["param"]) == (404, "model_not_found", "model")
    async with port.client.post(f"{port.port.url}/v1/chat/completions", data=b"{") as response:
        assert (response.status, (await failure(response))["type"]) == (400, "invalid_request_error")
    async with port.client.get(f"{port.port.url}/v1/nothing") as response:
        assert (response.status, (await failure(response))["code"]) == (404, "not_found")
    assert port.engine.seen == []


async def test_an_expert_that_cannot_answer_says_so(port: Port) -> None:
    port.poet.failure = Failure(503, "expert_loading", "is being loaded", 5)
    async with port.chat("hello") as response:
        assert (response.status, response.headers["retry-after"]) == (503, "5")
        assert (await failure(response))["code"] == "expert_loading"


async def test_a_draining_port_takes_no_new_requests(port: Port) -> None:
    port.port.draining = True
    async with port.chat("hello") as response:
        assert (response.status, (await failure(response))["code"]) == (503, "draining")
        assert "retry-after" in response.headers


async def test_the_engines_own_refusal_keeps_its_status_and_loses_its_numeric_code(port: Port) -> None:
    async with port.chat("refuse") as response:
        assert response.status == 400
        expected = {"message": "that cannot be", "type": "invalid_request_error", "param": "n", "code": None}
        assert await failure(response) == expected


async def test_an_engine_that_is_not_there_is_named(port: Port, tmp_path: Path) -> None:
    async with engine_session(tmp_path / "none.sock") as session:
        port.poet.session = session
        async with port.chat("hello") as response:
            assert (response.status, (await failure(response))["code"]) == (503, "engine_died")
            assert "retry-after" in response.headers


async def test_an_engine_whose_core_dies_ends_the_stream_with_an_error_and_no_done(port: Port) -> None:
    async with port.chat("core-died", stream=True) as response:
        events = (await response.read()).decode().strip().split("\n\n")
    assert len(events) == 3
    assert json.loads(events[2][6:])["error"]["code"] == "engine_died"


async def test_health_is_open_and_the_report_is_not(port: Port, client: aiohttp.ClientSession) -> None:
    client.headers.clear()
    async with client.get(f"{port.port.url}/health") as response:
        assert response.status == 200
    async with client.get(f"{port.port.url}/report") as response:
        assert response.status == 401
    async with client.get(f"{port.port.url}/report", headers={"x-coe-token": "secret"}) as response:
        assert await response.json() == {"report": 1}


@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_says_how_long_its_weights_took_to_come(port: Port, *, stream: bool) -> None:
    async with port.chat("hello", stream=stream) as response:
        assert float(response.headers["x-coe-swap-ms"]) >= 200
        assert response.headers["x-coe-tier"] == "disk"
    async with port.chat("hello", stream=stream) as response:
        assert "x-coe-swap-ms" not in response.headers
        assert response.headers["x-coe-tier"] == "device"


# What is told of a request when it is over

ABOVE = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "shop=t61"}


async def test_a_request_is_told_of_with_what_it_waited_for(port: Port) -> None:
    before = time.time()
    async with port.chat("hello", headers={"x-request-id": "r-1", **ABOVE}) as response:
        await response.read()
    await eventually(lambda: bool(port.served))
    (served,) = port.served
    assert (served.request_id, dict(served.trace), served.expert) == ("r-1", ABOVE, "poet")
    assert (served.status, served.error, served.tier) == (200, None, "disk")
    assert served.swap is not None
    assert served.swap.model == "base"
    assert before <= served.began <= served.began + served.waited_s <= served.ended <= time.time()
    async with port.chat("hello") as response:
        await response.read()
    await eventually(lambda: len(port.served) == 2)
    assert (port.served[1].request_id, port.served[1].trace, port.served[1].swap) == ("", (), None)


async def test_the_engine_is_told_the_trace(port: Port) -> None:
    async with port.chat("hello", headers=ABOVE):
        _, headers = port.engine.seen[0]
    assert headers.items() >= ABOVE.items()


@pytest.mark.parametrize(
    ("script", "stream", "status", "error"),
    [
        ("refuse", False, 400, "400"),
        ("core-died", True, 200, "engine_died"),
    ],
)
async def test_a_failure_is_told_of_by_its_code(port: Port, script: str, stream: bool, status: int, error: str) -> None:
    async with port.chat(script, stream=stream) as response:
        await response.read()
    await eventually(lambda: bool(port.served))
    assert (port.served[0].status, port.served[0].error) == (status, error)


async def test_who_is_not_let_in_is_told_of_too(port: Port) -> None:
    async with port.chat("hello", model="nobody"):
        pass
    port.poet.failure = Failure(503, "expert_loading", "is being loaded", 5)
    async with port.chat("hello"):
        pass
    await eventually(lambda: len(port.served) == 2)
    told = [(served.expert, served.status, served.error) for served in port.served]
    assert told == [("", 404, "model_not_found"), ("", 503, "expert_loading")]


async def test_a_client_that_leaves_is_told_of(port: Port) -> None:
    task = asyncio.create_task(port.chat("hang").__aenter__())
    await eventually(lambda: port.engine.running == 1)
    task.cancel()
    await eventually(lambda: bool(port.served))
    assert (port.served[0].status, port.served[0].error) == (0, "cancelled")


async def test_what_is_being_served_is_known_on_its_way_and_nowhere_else(port: Port) -> None:
    seen: list[str | None] = []
    refusal = port.poet.refusal

    def look() -> Failure | None:
        serving = current_request()
        seen.append(serving.request_id if serving else None)
        return refusal()

    port.poet.refusal = look  # type: ignore[method-assign]  # the test's own eyes
    for name in ("r-1", "r-2"):
        async with port.chat("hello", headers={"x-request-id": name}):
            pass
    assert seen == ["r-1", "r-2"]
    assert current_request() is None


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": "poet", "probability": 0.5}, 204, None),
        ({"model": "poet", "probability": 1}, 204, None),
        ({"model": "poet", "probability": 1.5}, 400, "probability"),
        ({"model": "poet", "probability": True}, 400, "probability"),
        ({"model": "poet"}, 400, "probability"),
        ({"model": "nobody", "probability": 1}, 404, "model"),
    ],
)
async def test_a_request_can_be_announced(port: Port, body: dict[str, Any], status: int, param: str | None) -> None:
    async with port.client.post(f"{port.port.url}/expected", json=body) as response:
        assert response.status == status
        if param:
            assert (await failure(response))["param"] == param
    assert port.poet.expected == ([body["probability"]] if status == 204 else [])


async def test_nobody_announces_without_the_token(port: Port) -> None:
    body = {"model": "poet", "probability": 1}
    async with port.client.post(f"{port.port.url}/expected", json=body, headers={"x-coe-token": "wrong"}) as response:
        assert response.status == 401
    assert port.poet.expected == []
