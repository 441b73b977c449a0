"""A real gateway that serves from a thread of its own, so that what drives a browser may block."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import aiohttp

from coe.store.client import open_redis
from tests.running_gateway import RunningGateway, ScriptedSource, Settings, enter_gateway
from tests.scripted_worker import ScriptedWorker
from workers.reports import WorkerReport

Value = TypeVar("Value")
MakeReports = Callable[[str], Sequence[WorkerReport]]
"""What workers report, from the address of the one scripted worker behind them."""


@dataclass(frozen=True, slots=True)
class GatewayThread:
    """A gateway, the scripted worker behind it, and the loop that both run on."""

    gateway: RunningGateway
    worker: ScriptedWorker
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return self.gateway.url

    def wait(self, work: Coroutine[None, None, Value]) -> Value:
        """The result of what runs on the gateway's loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=10)

    def report(self, reports: Sequence[WorkerReport]) -> None:
        """Lets the workers report this from now on."""
        self.gateway.source.known = list(reports)
        self.wait(self.gateway.fleet.refresh())


@contextmanager
def serving(redis_url: str, make_reports: MakeReports, settings: Settings) -> Iterator[GatewayThread]:
    """A gateway in front of one scripted worker, until the context is left."""
    started: list[GatewayThread] = []
    ready, stop = threading.Event(), asyncio.Event()

    async def serve() -> None:
        try:
            async with AsyncExitStack() as stack:
                worker = await stack.enter_async_context(ScriptedWorker().listening())
                redis = open_redis(redis_url)
                stack.push_async_callback(redis.aclose)
                session = await stack.enter_async_context(aiohttp.ClientSession())
                source = ScriptedSource(list(make_reports(worker.url)))
                gateway = await enter_gateway(stack, source, session, redis, settings)
                started.append(GatewayThread(gateway, worker, asyncio.get_running_loop()))
                ready.set()
                await stop.wait()
        finally:
            ready.set()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="gateway")
    thread.start()
    ready.wait(timeout=20)
    assert started, "the gateway did not start; its traceback is above"
    try:
        yield started[0]
    finally:
        started[0].loop.call_soon_threadsafe(stop.set)
        thread.join(timeout=20)
        assert not thread.is_alive()
