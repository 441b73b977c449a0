"""An engine with the models that it can hold and the experts on them: specifications go in, a running engine comes out.

parked ─ bring ─▶ starting ─▶ ready ─ bring another ─▶ ready, other weights          `end` from any of them
                                └ park ─▶ asleep, where it can, else parked ─ bring ─▶ ready
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import aiohttp

from workers.engine.lives import AttachedServer, OwnEngine
from workers.engine.server import ENGINE_URL, EngineCommand, engine_session
from workers.engine.supervisor import Backoff, Supervised, Supervisor
from workers.errors import EngineAwayError, EngineError, EngineStartError, NotUnloadableError, SourceError
from workers.reports import EngineReport, ExpertState, Tier
from workers.spec import ExpertSpec, ModelSpec, WorkerSpec

_LOG = logging.getLogger("coe.engine")
_LOAD_DEADLINE_S = 300.0  # fetching an adapter included
_STATES: dict[str, ExpertState] = {
    "starting": "loading",
    "backoff": "loading",
    "ready": "ready",
    "failed": "failed",
    "stopped": "draining",
}


class HostedEngine:
    """The models of one family, or one model, with their session and their supervised engine.

    Open it inside the event loop that it shall live in. It starts with the model `first`, or is parked where that is
    None: then nothing runs until `bring`.
    """

    def __init__(
        self,
        models: Sequence[ModelSpec],
        worker: WorkerSpec,
        *,
        first: str | None,
        socket: Path,
        command: EngineCommand,
        backoff: Backoff,
        on_change: Callable[[], None],
    ) -> None:
        self.models = {model.name: model for model in models}
        self.name = models[0].engine
        self._worker = worker
        self._socket = socket
        self._command = command
        self._experts = [expert for expert in worker.experts if expert.model in self.models]
        self._url = models[0].url
        self.base_url = _base_url(self._url) if self._url else ENGINE_URL
        self.session = attached_session() if self._url else engine_session(socket)
        self.supervisor = Supervisor(self.name, self._life, on_change=self._changed, backoff=backoff)
        self._engine: OwnEngine | None = None
        self._wanted = {expert.name for expert in self._experts if expert.load == "start"}
        self._pinned = {expert.name for expert in self._experts if expert.pinned}
        self._loading: set[str] = set()
        self._broken: dict[str, str] = {}
        self._deaths: Counter[str] = Counter()
        self._on_change = on_change
        self._settled = asyncio.Event()
        self._first = first or models[0].name
        self._brought: str | None = None
        self._sleep_level = worker.memory.sleep
        self._ending: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        if first:
            self._run()

    @property
    def parked(self) -> bool:
        """Nothing runs, because it was put away or never asked for."""
        return self._task is None

    @property
    def asleep(self) -> bool:
        """It runs, but has given its device memory back."""
        return not self.parked and self._engine is not None and self._engine.asleep

    @property
    def resident(self) -> str | None:
        """The model that can answer now; none that is about to be replaced."""
        return self._held if self._brought in {None, self._held} else None

    @property
    def _held(self) -> str | None:
        """The model whose weights the engine has, and with which it would answer."""
        if not self._runs or self.asleep:
            return None
        return self._engine.resident if self._engine else self._first

    @property
    def _runs(self) -> bool:
        """Awake or asleep."""
        return self.supervisor.state == "ready" and not self.parked

    @property
    def fetches(self) -> bool:
        """Whether it can copy weights to host memory now: it runs, and its models share it."""
        return self._held is not None and len(self.models) > 1

    @property
    def away(self) -> bool:
        """It has ended and is to be started again."""
        return not self.parked and self.supervisor.state in {"backoff", "failed"}

    @property
    def copies(self) -> Collection[str]:
        """The models that have a copy in host memory."""
        weights = self._engine.weights if self._engine and self._runs else None
        copies = frozenset(weights.copies if weights else ())
        return copies | {self._first} if self.asleep and self._sleep_level == 1 else copies

    async def bring(self, name: str, *, keep: bool) -> Tier:
        """Let the model `name` answer, where nothing runs in the engine. Returns the tier that it came from.

        `keep`: leave a copy in host memory, where the engine can. Raises `SourceError` or `EngineError`.
        """
        self._brought = name
        try:
            if self.parked:
                await self._start_with(name)
                return "disk"
            if self.resident == name:
                return "device"
            engine = self._running_engine()
            assert engine is not None, "a server that is not ours has one model"
            if engine.asleep and self._first == name:
                return await engine.wake(name)
            if engine.asleep:
                await engine.wake(self._first)
            tier = await engine.replace(name, keep=keep)
            self._first = name  # what an engine that is started again begins with
            return tier
        finally:
            self._brought = None

    @property
    def leaves_copy(self) -> bool:
        """Whether it may stay in host memory when it is parked."""
        return self._sleep_level == 1

    async def park(self, *, keep: bool) -> None:
        """Free the device until `bring`, by sleep where the engine can, else by its end. Nothing may run in it.

        `keep`: there is room for its weights in host memory.
        """
        if self.resident and self._sleep_level and (keep or not self.leaves_copy):
            assert self._engine is not None, "what is resident runs"
            try:
                await self._engine.rest()
            except EngineError as error:
                _LOG.warning("the engine of `%s` did not go to sleep and is ended: %s", self.name, error)
            else:
                self._on_change()
                return
        await self.end()

    async def end(self) -> None:
        """End the engine, and keep it so until `bring`. Nothing may run in it."""
        if task := self._task:
            task.cancel()
            await asyncio.wait((task,))
            self._task = None
            self._on_change()

    async def copy_bytes(self, name: str) -> int | None:
        """What a copy of the model takes in host memory; None where the engine cannot tell. Raises `SourceError`."""
        return await self._engine.copy_bytes(name) if self._engine and self._runs else None

    def require_reachable(self) -> None:
        """Raises `EngineAwayError` where the engine is neither parked nor serves."""
        if not self.parked:
            self._running_engine()

    async def fetch(self, name: str) -> None:
        """Copy the model's weights to host memory. Raises `SourceError` or `EngineError`."""
        if engine := self._running_engine():
            await engine.fetch(name)

    async def drop(self, name: str) -> None:
        """Forget the copy in host memory. Raises `EngineError`."""
        if self.asleep and self._sleep_level == 1 and name == self._first:  # it is what it sleeps on
            await self.end()
        elif engine := self._running_engine():
            await engine.drop(name)

    async def close(self) -> None:
        """End the engine and the session."""
        if self._ending:
            await asyncio.wait((self._ending,))
        await self.end()
        await self.session.close()

    async def _end_asleep(self) -> None:
        try:
            await self.end()
        finally:
            self._ending = None

    def _run(self) -> None:
        self._task = asyncio.create_task(self.supervisor.run(), name=f"engine {self.name}")

    async def _start_with(self, name: str) -> None:
        self._first = name
        self._settled.clear()
        self._run()
        served = False
        try:
            await self._settled.wait()  # the supervisor has a deadline
            if self.supervisor.state != "ready":
                raise EngineStartError(self.supervisor.error or f"the engine of model `{name}` did not start")
            served = True
        finally:
            if not served:
                await self.end()

    def _changed(self) -> None:
        if self.supervisor.state != "starting":
            self._settled.set()
        if self.away and self.asleep and self._ending is None:  # no room is kept for it to start again
            self._ending = asyncio.create_task(self._end_asleep(), name=f"end {self.name}")
        self._on_change()

    def report(self) -> EngineReport:
        supervisor = self.supervisor
        return EngineReport(
            model=self.name,
            state="parked" if self.parked else "asleep" if self.asleep else supervisor.state,
            pid=supervisor.pid,
            restarts=supervisor.restarts,
            started_in_s=supervisor.started_in_s,
            error=supervisor.error,
        )

    def state_of(self, expert: ExpertSpec) -> tuple[ExpertState, str | None]:
        """The expert's state, and what is wrong with it or with the last attempt to start its engine."""
        if self.parked or self.asleep or self._brought == expert.model or self.resident not in {None, expert.model}:
            return "ready", None  # after a swap
        state, error = _STATES[self.supervisor.state], self.supervisor.error
        if not expert.adapter or state not in {"ready", "loading"} or self.digest(expert):
            return state, error
        if expert.name in self._loading or (state == "loading" and expert.name in self._wanted):
            return "loading", error
        if expert.name in self._broken:
            return "failed", self._broken[expert.name]
        return "unloaded", None

    def digest(self, expert: ExpertSpec) -> str | None:
        """Of the adapter that answers now as `expert`."""
        adapters = self._engine.adapters if self._engine else None
        return adapters.digest(expert.name) if adapters else None

    @contextmanager
    def lease(self, expert: ExpertSpec) -> Iterator[str]:
        """The name to ask the engine for, good until the lease ends. Only for an expert that is resident."""
        if not expert.adapter:
            yield self._engine.model.base_name if self._engine else self.models[self._first].base_name
            return
        assert self._engine is not None, "an expert that is ready has an engine"
        assert self._engine.adapters is not None, "and room for its adapter"
        with self._engine.adapters.lease(expert.name) as served_name:
            yield served_name

    async def load(self, expert: ExpertSpec) -> bool:
        """Let the expert answer with its adapter as it is now; False where it does already.

        What is loaded stays so when the engine is started again. Raises `SourceError`, and `EngineAwayError`.
        """
        engine = self._running_engine()
        if engine is None or not expert.adapter:
            return False
        self._loading.add(expert.name)
        self._on_change()
        try:
            async with asyncio.timeout(_LOAD_DEADLINE_S):
                changed = await engine.load(expert)
            self._require(engine)
        except TimeoutError as error:
            raise EngineAwayError(
                f"expert `{expert.name}` was not loaded within {_LOAD_DEADLINE_S:.0f} s: see the log, try again"
            ) from error
        except SourceError as error:
            self._require(engine)
            self._broken[expert.name] = str(error)
            raise
        finally:
            self._loading.discard(expert.name)
            self._on_change()
        self._broken.pop(expert.name, None)
        del self._deaths[expert.name]
        self._wanted.add(expert.name)
        return changed

    def unload(self, expert: ExpertSpec) -> bool:
        """Refuse requests to the expert from now on; those that run end in peace. False where it was so already.

        Raises `NotUnloadableError` where the expert is its model itself.
        """
        if not expert.adapter:
            raise NotUnloadableError(
                f"expert `{expert.name}` has no adapter: it is model `{expert.model}` itself, which other experts "
                "may need; take it out of the configuration instead"
            )
        known = expert.name in self._wanted or expert.name in self._broken
        self._wanted.discard(expert.name)
        self._broken.pop(expert.name, None)
        adapters = self._engine.adapters if self._engine else None
        held = adapters.drop(expert.name) if adapters else False
        self._on_change()
        return held or known

    async def pin(self, expert: ExpertSpec) -> None:
        """Let the expert's adapter keep its slot in the engine, in this life and later ones."""
        self._pinned.add(expert.name)
        await self._send_pins()

    async def unpin(self, expert: ExpertSpec) -> None:
        """Let it take turns with the others again."""
        self._pinned.discard(expert.name)
        await self._send_pins()

    async def _send_pins(self) -> None:
        if self._engine and self._engine.adapters:
            await self._engine.adapters.send_pins()

    def _running_engine(self) -> OwnEngine | None:
        """Our own engine; None where the server is not ours. Raises `EngineAwayError` where it does not serve now."""
        if self.supervisor.state != "ready":
            reason = f" ({self.supervisor.error})" if self.supervisor.error else ""
            raise EngineAwayError(
                f"the engine of model `{self.name}` is {self.supervisor.state}{reason}: try again when `coe ps` "
                "shows its other experts ready"
            )
        return self._engine

    def _require(self, engine: OwnEngine) -> None:
        if engine is not self._engine or self.supervisor.state != "ready":
            raise EngineAwayError(f"the engine of model `{self.name}` ended meanwhile: try again when it is back")

    def _life(self) -> Supervised:
        if self._url:
            return AttachedServer(model=self.models[self._first], session=self.session, base_url=self.base_url)
        self._broken = {}
        self._engine = OwnEngine(
            models=self.models,
            first=self._first,
            experts=self._experts,
            wanted=self._wanted,
            pinned=self._pinned,
            device=self._worker.device,
            cache_dir=self._worker.cache_dir,
            socket=self._socket,
            session=self.session,
            command=self._command,
            broken=self._broken,
            deaths=self._deaths,
            sleep_level=self._sleep_level,
        )
        return self._engine


def attached_session() -> aiohttp.ClientSession:
    """A session to a server that is not ours and may close idle connections after five seconds."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=3.0),
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10.0),
        headers={"accept-encoding": "identity", "content-type": "application/json"},
    )


def _base_url(url: str) -> str:
    return url.rstrip("/").removesuffix("/v1")
