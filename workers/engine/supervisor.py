"""Keep one engine alive: something that can be started goes in, a state that is always true comes out.

starting ─▶ ready ─▶ backoff ─▶ starting …          an engine that ends is started again, ever more slowly
starting ─▶ backoff ─▶ … ─▶ failed ─▶ (ready)       after some failures in a row it is failed, yet tried on
any ─▶ stopped                                      when `run` is cancelled; it may be run again
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from workers.errors import EngineDiedError, EngineError, SourceError, WorkerError
from workers.reports import EngineState

_LOG = logging.getLogger("coe.engine")


class Supervised(Protocol):
    """One life of an engine. `stop` is called once after every `start`, however that ended."""

    @property
    def pid(self) -> int | None: ...

    async def start(self) -> None:
        """Return once it serves. Raises `WorkerError` or `OSError`."""

    async def wait(self) -> str:
        """Return once it no longer serves, with a sentence that says so."""
        ...

    async def stop(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Backoff:
    """Seconds to wait before the next start: `first_s`, doubled after each failure in a row, at most `longest_s`.

    After `failures` in a row the engine counts as failed. An engine that served for `reset_after_s` begins anew.
    """

    first_s: float = 1.0
    longest_s: float = 60.0
    failures: int = 3
    reset_after_s: float = 60.0

    def delay_s(self, failures: int) -> float:
        """The wait after `failures` (at least 1) failures in a row."""
        if failures >= self.failures:
            return self.longest_s
        return min(self.longest_s, self.first_s * 2.0 ** (failures - 1))


DEFAULT_BACKOFF = Backoff()


class Supervisor:
    """Runs the lives that `create` makes, one after another, and says how the present one fares."""

    def __init__(
        self,
        name: str,
        create: Callable[[], Supervised],
        *,
        on_change: Callable[[], None] = lambda: None,
        backoff: Backoff = DEFAULT_BACKOFF,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name = name
        self._create = create
        self._on_change = on_change
        self._backoff = backoff
        self._sleep = sleep
        self._clock = clock
        self._life: Supervised | None = None
        self._failures = 0
        self.state: EngineState = "starting"
        self.error: str | None = None
        self.restarts = 0
        self.started_in_s: float | None = None

    @property
    def pid(self) -> int | None:
        return self._life.pid if self._life else None

    async def run(self) -> None:
        """Keep the engine alive until cancelled; then end it."""
        if self.state == "stopped":
            self._become("starting", None)
        try:
            while True:
                await self._live()
                await self._sleep(self._backoff.delay_s(self._failures))
                self.restarts += 1
                if self.state == "backoff":
                    self._become("starting", self.error)
        finally:
            self._become("stopped", self.error)

    async def _live(self) -> None:
        """One life, from its start to its end."""
        life = self._life = self._create()
        began = self._clock()
        try:
            await life.start()
            served = self._clock()
            self.started_in_s = round(served - began, 3)
            self._become("ready", None)
            ending = await life.wait()
            if self._clock() - served >= self._backoff.reset_after_s:
                self._failures = 0
            self._fail(EngineDiedError(ending))
        except (WorkerError, OSError) as error:
            self._fail(error)
        except Exception as unexpected:  # noqa: BLE001  whatever a life raises: nobody else would start the next one
            _LOG.exception("the engine of `%s` failed", self._name)
            self._fail(EngineError(f"the engine of model `{self._name}` failed ({unexpected!r}): see the log"))
        finally:
            await life.stop()
            self._life = None

    def _fail(self, error: WorkerError | OSError) -> None:
        # Trying a source again at once changes nothing, so its experts fail now and not after three attempts.
        self._failures = max(self._failures + 1, self._backoff.failures if isinstance(error, SourceError) else 0)
        lost = self._failures >= self._backoff.failures
        delay_s = self._backoff.delay_s(self._failures)
        _LOG.error("%s; next start in %.0f s", error, delay_s, extra={"model": self._name})
        self._become("failed" if lost else "backoff", str(error))

    def _become(self, state: EngineState, error: str | None) -> None:
        self.state = state
        self.error = error
        self._on_change()
