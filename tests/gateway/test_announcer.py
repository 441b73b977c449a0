"""What workers are told of plans under way."""

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest
from structlog.testing import capture_logs

from coe.gateway import announcer as announcer_module
from coe.gateway.announcer import Announcer
from coe.gateway.fleet import Fleet
from tests.running_gateway import TOKEN, MakeReport, ScriptedSource
from tests.scripted_worker import StartWorker, until
from workers.reports import WorkerReport


async def announcer_of(session: aiohttp.ClientSession, *reports: WorkerReport) -> Announcer:
    fleet = Fleet([ScriptedSource(list(reports))])
    await fleet.refresh()
    return Announcer(fleet, session, TOKEN)


@pytest.fixture
async def silent() -> AsyncIterator[tuple[str, list[bytes]]]:
    """The address of something that listens and never answers, and what it was told."""
    heard: list[bytes] = []

    async def hear(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n"))
        await reader.read()
        writer.close()

    server = await asyncio.start_server(hear, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    yield f"http://{host}:{port}", heard
    server.close()


async def test_the_worker_that_would_be_asked_is_told_of_what_it_has_to_bring_in(
    session: aiohttp.ClientSession, make_report: MakeReport, start_worker: StartWorker
) -> None:
    near, far = await start_worker(), await start_worker()
    announcer = await announcer_of(
        session,
        make_report(near.url, "poet", "jurist", worker_id="near", tier="host", wait_s=1.0),
        make_report(far.url, "poet", "jurist", worker_id="far", tier="disk", wait_s=9.0),
        make_report(far.url, "generalist", worker_id="resident"),
    )
    announcer.announce({"poet": 1.0, "generalist": 1.0, "jurist": 0.4, "nobody": 1.0})
    await until(lambda: len(near.announced) == 2)
    assert sorted(near.announced) == [("jurist", 0.4), ("poet", 1.0)]
    assert far.announced == []


async def test_one_expert_is_announced_once_at_a_time_and_not_for_long(
    session: aiohttp.ClientSession,
    make_report: MakeReport,
    silent: tuple[str, list[bytes]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(announcer_module, "TIMEOUT_S", 0.2)
    url, heard = silent
    announcer = await announcer_of(session, make_report(url, "poet", tier="disk"))
    announcer.announce({"poet": 1.0})
    announcer.announce({"poet": 1.0})
    await until(lambda: bool(heard))
    await asyncio.sleep(0.5)
    assert heard == [b"POST /expected HTTP/1.1\r\n"]
    announcer.announce({"poet": 1.0})
    await until(lambda: len(heard) == 2)


async def test_an_announcement_to_a_worker_that_is_gone_is_lost(
    session: aiohttp.ClientSession, make_report: MakeReport
) -> None:
    announcer = await announcer_of(session, make_report("http://127.0.0.1:9", "poet", tier="disk"))
    with capture_logs() as lines:
        announcer.announce({"poet": 1.0})
        await until(lambda: [line["event"] for line in lines] == ["an announcement did not arrive"])
