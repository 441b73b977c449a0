"""vLLM's control endpoints, with a small server in its place: what comes back, and what an error means."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from workers.engine.control import EngineControl, EngineRefusedError
from workers.engine.server import ENGINE_URL, engine_session
from workers.errors import EngineAwayError

Handler = Callable[[web.Request], Awaitable[web.Response]]


async def hang(_: web.Request) -> web.Response:
    await asyncio.sleep(3600)
    return web.Response()


def says(text: str, status: int = 200) -> Handler:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status)

    return answer


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[EngineControl]:
    app = web.Application()
    app.router.add_post("/nothing", says(""))
    app.router.add_post("/refused", says('{"error": {"message": "no   such method"}}', 500))
    app.router.add_post("/dead", says("EngineCore encountered an issue", 500))
    app.router.add_post("/page", says("<html>"))
    app.router.add_post("/hang", hang)
    app.router.add_post("/collective_rpc", says('{"results": [{"rank": 0}, {"rank": 1}]}'))
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.UnixSite(runner, str(tmp_path / "s")).start()
    async with engine_session(tmp_path / "s") as session:
        yield EngineControl(session, ENGINE_URL)
    await runner.cleanup()


async def test_every_workers_answer_comes_back_in_order(control: EngineControl) -> None:
    assert await control.call_workers("method", timeout_s=1) == [{"rank": 0}, {"rank": 1}]
    assert await control.post("/nothing", timeout_s=1) == {}


@pytest.mark.parametrize(
    ("path", "error", "told"),
    [
        ("/refused", EngineRefusedError, "answered `/refused` with 500: .*no such method"),
        ("/missing", EngineRefusedError, "with 404"),
        ("/page", EngineRefusedError, "no JSON"),
        ("/dead", EngineAwayError, "ended while it was asked for `/dead`: it is started again"),
        ("/hang", EngineAwayError, "does not answer `/hang` within"),
    ],
)
async def test_an_error_says_whether_the_engine_lives(
    control: EngineControl, path: str, error: type[Exception], told: str
) -> None:
    with pytest.raises(error, match=told):
        await control.post(path, timeout_s=0.3)


async def test_an_engine_that_is_not_there_is_away(tmp_path: Path) -> None:
    async with engine_session(tmp_path / "nobody") as session:
        with pytest.raises(EngineAwayError, match="it is started again"):
            await EngineControl(session, ENGINE_URL).get("/is_sleeping", timeout_s=1)
