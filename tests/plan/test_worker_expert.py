import asyncio
import socket
from contextlib import aclosing

import aiohttp
import pytest

from coe.errors import RequestError, UnavailableError, UpstreamError
from coe.gateway.fleet import Fleet
from coe.plan.request import ChatRequest
from coe.plan.worker_expert import WorkerExpert
from coe.telemetry.metrics import TIER_HITS
from tests.running_gateway import TOKEN, MakeReport, ScriptedSource
from tests.scripted_worker import DONE, ScriptedWorker, StartWorker, chunk, completion, until


def request(*, stream: bool = False) -> ChatRequest:
    fields = {"model": "coe", "messages": [{"role": "user", "content": "hello"}], "stream": stream}
    return ChatRequest(
        request_id="r",
        model="coe",
        stream=stream,
        include_usage=False,
        temperature=None,
        cache=None,
        fields=fields,  # type: ignore[arg-type]  # lists are invariant
    )


class Asking:
    """A poet on workers at these addresses, the first the least loaded."""

    def __init__(self, session: aiohttp.ClientSession, make_report: MakeReport, *urls: str) -> None:
        reports = [make_report(url, "poet", worker_id=f"w-{place}", running=place) for place, url in enumerate(urls)]
        self.fleet = Fleet([ScriptedSource(reports)])
        self.expert = WorkerExpert("poet", self.fleet, session, TOKEN)

    async def read(self) -> bytes:
        await self.fleet.refresh()
        answer = await self.expert.answer(request())
        async with aclosing(answer.chunks) as chunks:
            return b"".join([piece async for piece in chunks])

    @property
    def trusted(self) -> list[str]:
        return [endpoint.worker_id for endpoint in self.fleet.endpoints("poet")]


@pytest.fixture
def closed_url() -> str:
    """An address where nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}"


async def test_the_answer_is_the_workers_bytes(
    session: aiohttp.ClientSession, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    assert await Asking(session, make_report, worker.url).read() == completion("poet")


async def test_another_worker_is_asked_where_one_refuses_the_connection(
    session: aiohttp.ClientSession, worker: ScriptedWorker, make_report: MakeReport, closed_url: str
) -> None:
    asking = Asking(session, make_report, closed_url, worker.url)
    assert await asking.read() == completion("poet")
    assert asking.trusted == ["w-1"]


async def test_another_worker_is_asked_where_one_dies_before_its_answer(
    session: aiohttp.ClientSession, start_worker: StartWorker, make_report: MakeReport
) -> None:
    dying, other = await start_worker(), await start_worker()
    dying.dies()
    asking = Asking(session, make_report, dying.url, other.url)
    assert await asking.read() == completion("poet")
    assert asking.trusted == ["w-1"]


async def test_another_worker_is_asked_where_something_else_listens(
    session: aiohttp.ClientSession, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        writer.close()

    async with await asyncio.start_server(greet, "127.0.0.1", 0) as other:
        port = other.sockets[0].getsockname()[1]
        asking = Asking(session, make_report, f"http://127.0.0.1:{port}", worker.url)
        assert await asking.read() == completion("poet")


@pytest.mark.parametrize("status", [429, 503])
async def test_another_worker_is_asked_where_one_is_full_or_starting(
    session: aiohttp.ClientSession, start_worker: StartWorker, make_report: MakeReport, status: int
) -> None:
    full, other = await start_worker(), await start_worker()
    full.refuses(status, "queue_full")
    asking = Asking(session, make_report, full.url, other.url)
    assert await asking.read() == completion("poet")
    assert asking.trusted == ["w-0", "w-1"]


async def test_the_last_refusal_is_told_where_all_refuse(
    session: aiohttp.ClientSession, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    worker.refuses(429, "queue_full", retry_after=9)
    with pytest.raises(UpstreamError) as caught:
        await Asking(session, make_report, worker.url).read()
    assert (caught.value.http_status, caught.value.retry_after_s, caught.value.body.code) == (429, 9, "queue_full")


async def test_a_refusal_for_the_requests_own_fault_is_final(
    session: aiohttp.ClientSession, start_worker: StartWorker, make_report: MakeReport
) -> None:
    refusing, other = await start_worker(), await start_worker()
    refusing.refuses(400)
    with pytest.raises(RequestError) as caught:
        await Asking(session, make_report, refusing.url, other.url).read()
    assert caught.value.http_status == 400
    assert other.asked == []


async def test_nobody_left_is_unavailable(
    session: aiohttp.ClientSession, make_report: MakeReport, closed_url: str
) -> None:
    with pytest.raises(UnavailableError) as caught:
        await Asking(session, make_report, closed_url).read()
    assert caught.value.retry_after_s


async def test_closing_an_answer_early_ends_the_workers_request(
    session: aiohttp.ClientSession, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    worker.stalls(chunk("poet", "Hello "))
    asking = Asking(session, make_report, worker.url)
    await asking.fleet.refresh()
    answer = await asking.expert.answer(request(stream=True))
    assert answer.streamed
    assert await anext(answer.chunks) == chunk("poet", "Hello ")
    await answer.chunks.aclose()
    await until(lambda: worker.aborted == 1)


async def test_a_complete_answer_gives_its_connection_back(
    session: aiohttp.ClientSession, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    worker.streams(chunk("poet", "Hello "), DONE)
    asking = Asking(session, make_report, worker.url)
    for _ in range(3):
        assert (await asking.read()).endswith(DONE)
    assert session.connector is not None
    assert len(session.connector._conns) == 1


async def test_a_request_counts_at_its_worker_from_its_beginning_to_its_end(
    session: aiohttp.ClientSession, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    fleet = Fleet([ScriptedSource([make_report(worker.url, "poet", room=1)])])
    await fleet.refresh()
    answer = await WorkerExpert("poet", fleet, session, TOKEN).answer(request())
    assert not fleet.has_room("poet")
    async with aclosing(answer.chunks) as chunks:
        assert [piece async for piece in chunks]
    assert fleet.has_room("poet")


async def test_a_request_that_is_refused_or_given_up_counts_no_more(
    session: aiohttp.ClientSession, worker: ScriptedWorker, make_report: MakeReport
) -> None:
    fleet = Fleet([ScriptedSource([make_report(worker.url, "poet", room=1)])])
    await fleet.refresh()
    expert = WorkerExpert("poet", fleet, session, TOKEN)
    worker.refuses(429)
    with pytest.raises(UpstreamError):
        await expert.answer(request())
    assert fleet.has_room("poet")
    worker.stalls()
    waiting = asyncio.create_task(expert.answer(request()))
    await until(lambda: worker.running == 1)
    assert not fleet.has_room("poet")
    waiting.cancel()
    await asyncio.wait({waiting})
    assert fleet.has_room("poet")


@pytest.mark.parametrize(
    "case",  # the tier in the report, the tier that the worker tells, its swap in ms, and where it was found
    [
        ("device", None, 0, "device"),
        ("host", None, 120, "host"),
        ("host", None, 0, "device"),  # another request's swap has brought it in since the report
        ("device", "disk", 900, "disk"),  # the worker knows better
    ],
)
async def test_where_a_request_found_its_expert_is_counted(
    session: aiohttp.ClientSession,
    worker: ScriptedWorker,
    make_report: MakeReport,
    case: tuple[str, str | None, float, str],
) -> None:
    reported, told, swap_ms, found = case
    fleet = Fleet([ScriptedSource([make_report(worker.url, "poet", tier=reported)])])
    await fleet.refresh()
    worker.swap_ms, worker.tier = swap_ms, told
    before = TIER_HITS.labels("poet", found)._value.get()
    await WorkerExpert("poet", fleet, session, TOKEN).answer(request())
    assert TIER_HITS.labels("poet", found)._value.get() == before + 1
