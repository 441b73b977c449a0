"""The two kinds of life that a supervisor keeps: an engine of our own, and a server that somebody else runs.

In: a model, the experts on it, and where things lie. Out: something that can be started, waited for and stopped.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

import aiohttp

from workers.adapters import Adapter, read_adapter
from workers.engine import Engine, EngineCommand, Launch
from workers.errors import EngineStartError, SourceError
from workers.health import is_healthy, until_unhealthy
from workers.sources import resolve
from workers.spec import Device, ExpertSpec, ModelSpec

_LOG = logging.getLogger("coe.engine")
_ATTACHED_PERIOD_S = 2.0
_ATTACHED_PATIENCE_S = 10.0


@dataclass(slots=True, kw_only=True)
class OwnEngine:
    """Resolves the sources, then runs an engine with them. `broken` names the experts whose adapter is, and why."""

    model: ModelSpec
    experts: Sequence[ExpertSpec]
    device: Device
    cache_dir: Path
    socket: Path
    command: EngineCommand
    broken: dict[str, str] = field(default_factory=dict)
    _engine: Engine | None = None

    @property
    def pid(self) -> int | None:
        return self._engine.pid if self._engine else None

    async def start(self) -> None:
        model_dir = await self._resolved(self.model.source)
        adapters = [adapter for expert in self.experts if (adapter := await self._adapter(expert))]
        launch = Launch(
            model=self.model,
            device=self.device,
            model_dir=model_dir,
            socket=self.socket,
            adapters=tuple(adapters),
        )
        self._engine = Engine(launch, command=self.command)
        await self._engine.start()
        self.broken |= self._engine.refused

    async def wait(self) -> str:
        assert self._engine is not None, "start before waiting for the end"
        return await self._engine.wait()

    async def stop(self) -> None:
        if self._engine:
            await self._engine.stop()

    async def _adapter(self, expert: ExpertSpec) -> Adapter | None:
        if expert.adapter is None:
            return None
        try:
            return read_adapter(expert.name, await self._resolved(expert.adapter))
        except SourceError as error:
            self.broken[expert.name] = str(error)
            return None

    async def _resolved(self, source: str) -> Path:
        cancelled = Event()
        progress = partial(_LOG.info, "%s", extra={"model": self.model.name})
        try:
            return await asyncio.to_thread(resolve, source, self.cache_dir, progress, cancelled)
        finally:
            cancelled.set()


@dataclass(slots=True, kw_only=True)
class AttachedServer:
    """An OpenAI server that runs already: only its health is our business."""

    model: ModelSpec
    session: aiohttp.ClientSession
    base_url: str
    pid: int | None = None

    async def start(self) -> None:
        if not await is_healthy(self.session, self.base_url):
            raise EngineStartError(
                f"no OpenAI server answers for model `{self.model.name}` at {self.model.url}: start it or correct `url`"
            )

    async def wait(self) -> str:
        await until_unhealthy(self.session, self.base_url, period_s=_ATTACHED_PERIOD_S, patience_s=_ATTACHED_PATIENCE_S)
        return f"the server at {self.model.url} for model `{self.model.name}` does not answer any more"

    async def stop(self) -> None:
        """Leave it running: it is not ours."""
