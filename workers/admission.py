"""How many requests of one expert run and wait: a request goes in, and comes out admitted or refused, in order."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from workers.errors import QueueFullError, QueueTimeoutError

_SHARE_OF_LAST = 0.2  # of the newest duration in the moving average
_LONGEST_RETRY_S = 60.0


class Admission:
    """Lets `max_running` requests in at once, lets `max_queued` more wait for `queue_timeout_s` seconds each, in order.

    Belongs to one event loop. A waiting request that is cancelled leaves the queue at once.
    """

    def __init__(self, name: str, *, max_running: int, max_queued: int, queue_timeout_s: float) -> None:
        self._name = name
        self._max_running = max_running
        self._max_queued = max_queued
        self._queue_timeout_s = queue_timeout_s
        self._running = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._mean_s = 1.0

    @property
    def running(self) -> int:
        return self._running

    @property
    def waiting(self) -> int:
        return len(self._queue)

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold a place among the running. Raises `QueueFullError` or `QueueTimeoutError`."""
        await self._acquire()
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            yield
        finally:
            self._mean_s += _SHARE_OF_LAST * (loop.time() - began - self._mean_s)
            self._release()

    async def _acquire(self) -> None:
        if self._running < self._max_running:  # then nobody waits: a free place is given on at once
            self._running += 1
            return
        if len(self._queue) >= self._max_queued:
            raise QueueFullError(
                f"{self._running} requests run and {len(self._queue)} wait for expert `{self._name}`, which is as many "
                "as may: try again later",
                self._retry_after_s(),
            )
        turn = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            async with asyncio.timeout(self._queue_timeout_s):
                await turn
        except TimeoutError as error:
            self._leave(turn)
            raise QueueTimeoutError(
                f"the request waited {self._queue_timeout_s:g} s for expert `{self._name}`: try again later",
                self._retry_after_s(),
            ) from error
        except asyncio.CancelledError:
            self._leave(turn)
            raise

    def _leave(self, turn: "asyncio.Future[None]") -> None:
        if turn.done() and not turn.cancelled():  # its turn came in the same moment: pass it on
            self._release()
        elif turn in self._queue:
            self._queue.remove(turn)

    def _release(self) -> None:
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():  # else it has given up and is about to leave
                turn.set_result(None)
                return
        self._running -= 1

    def _retry_after_s(self) -> float:
        turns = (len(self._queue) + 1) / max(1, self._max_running)
        return float(min(_LONGEST_RETRY_S, max(1, math.ceil(turns * self._mean_s))))
