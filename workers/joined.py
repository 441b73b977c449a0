"""Calls for the same thing at the same time: many go in, the work is done once, all get its outcome."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from workers.errors import EngineAwayError

Outcome = TypeVar("Outcome")


class Joined(Generic[Outcome]):
    """Belongs to one event loop. The work has a deadline of its own: it goes on when those who asked have left."""

    def __init__(self) -> None:
        self._under_way: dict[Hashable, asyncio.Task[Outcome]] = {}

    async def run(self, key: Hashable, work: Callable[[], Awaitable[Outcome]]) -> Outcome:
        """The outcome of `work`, or of what is under way under `key`. Raises what that raises."""
        task = self._under_way.get(key)
        if task is None:
            task = self._under_way[key] = asyncio.create_task(_run(work), name=str(key))
            task.add_done_callback(lambda done: self._forget(key, done))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError:
            asker = asyncio.current_task()
            if task.cancelled() and asker and not asker.cancelling():
                raise EngineAwayError("the worker was stopped before it was done: ask another one") from None
            raise

    async def close(self) -> None:
        """Stop what is under way."""
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _forget(self, key: Hashable, task: "asyncio.Task[Outcome]") -> None:
        del self._under_way[key]
        if not task.cancelled():
            task.exception()  # noted, so that a failure that nobody waits for any more is not logged as lost


async def _run(work: Callable[[], Awaitable[Outcome]]) -> Outcome:
    return await work()
