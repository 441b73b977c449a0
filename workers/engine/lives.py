"""The two kinds of life that a supervisor keeps: an engine of our own, and a server that somebody else runs.

In: a model, the experts on it, and where things lie. Out: something that can be started, waited for and stopped.
"""

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Event

import aiohttp

from workers.adapters.base_layers import BaseLayers, read_base
from workers.adapters.check import AdapterConfig, read_config
from workers.adapters.loading import LoraRoom, lora_room
from workers.engine.adapters import EngineAdapters
from workers.engine.health import is_healthy, until_unhealthy
from workers.engine.server import ENGINE_URL, Engine, EngineCommand, Launch
from workers.engine.sleep import EngineSleep
from workers.errors import AdapterRefusedError, EngineAwayError, EngineStartError, SourceError
from workers.reports import Tier
from workers.sources.resolution import resolve
from workers.spec import Device, ExpertSpec, ModelSpec, SleepLevel
from workers.weights.slot import WeightSlot

_LOG = logging.getLogger("coe.engine")
_DEADLY = 2  # an adapter may have been loaded when the engine died of something else, once
_ATTACHED_PERIOD_S = 2.0
_ATTACHED_PATIENCE_S = 10.0


@dataclass(slots=True, kw_only=True)
class OwnEngine:
    """Resolves the sources, then runs an engine with them.

    `models` are of one family; the engine starts with the one named `first`, and the others can take its place.
    `wanted` names the experts whose adapters are loaded at its start, and `pinned` those whose adapters keep their
    slots. `broken` comes to name those of the wanted whose adapter is refused, and why. `deaths` counts, over all
    lives, how often the engine ended while it loaded an adapter.
    """

    models: Mapping[str, ModelSpec]
    first: str
    experts: Sequence[ExpertSpec]
    wanted: Collection[str]
    pinned: Collection[str]
    device: Device
    cache_dir: Path
    socket: Path
    session: aiohttp.ClientSession
    command: EngineCommand
    broken: dict[str, str] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    adapters: EngineAdapters | None = None
    weights: WeightSlot | None = None
    sleep_level: SleepLevel | None = None
    sleep: EngineSleep | None = None
    _engine: Engine | None = None
    _unfit: asyncio.Future[str] = field(default_factory=lambda: asyncio.get_running_loop().create_future())

    @property
    def model(self) -> ModelSpec:
        """The one that it was started with, whose name it answers to whatever its weights are."""
        return self.models[self.first]

    @property
    def resident(self) -> str | None:
        """The model whose weights it has; None while that is not certain, and while it sleeps."""
        return self.weights.resident if self.weights else self.first

    @property
    def asleep(self) -> bool:
        """It has given its device memory back."""
        return self.sleep is not None and self.sleep.asleep is not None

    @property
    def pid(self) -> int | None:
        return self._engine.pid if self._engine else None

    async def start(self) -> None:
        model_dir = await self._resolved(self.model.source)
        base = await asyncio.to_thread(read_base, model_dir)
        room = await self._room(base)
        launch = Launch(
            model=self.model,
            device=self.device,
            model_dir=model_dir,
            socket=self.socket,
            lora=room,
            replaceable=len(self.models) > 1,
            sleeps=self.sleep_level is not None,
        )
        self._engine = Engine(launch, command=self.command)
        await self._engine.start()
        if launch.verified:
            self.weights = WeightSlot(
                self.session,
                ENGINE_URL,
                served_name=self.model.base_name,
                base=model_dir,
                cache_dir=self.cache_dir,
            )
            await self.weights.open(self.first)
            if launch.sleeps:
                self.sleep = EngineSleep(self.session, ENGINE_URL, self.weights, device=self.device)
        if room:
            folder = self.socket.with_suffix(".adapters")
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)  # of a worker that was killed
            self.adapters = EngineAdapters(
                self.session,
                ENGINE_URL,
                model=self.model.name,
                base=base,
                room=room,
                folder=folder,
                pinned=self.pinned,
            )
            await self._load_wanted()

    async def wait(self) -> str:
        assert self._engine is not None, "start before waiting for the end"
        ended = asyncio.create_task(self._engine.wait())
        try:
            await asyncio.wait((ended, self._unfit), return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
        return self._unfit.result() if self._unfit.done() else ended.result()

    async def stop(self) -> None:
        if self._engine:
            await self._engine.stop()
        if self.adapters:
            await self.adapters.close()

    async def replace(self, name: str, *, keep: bool) -> Tier:
        """Put the weights of the model `name` in the place of the present ones; nothing may run in the engine.

        `keep`: leave a copy of them in host memory. Returns the tier that they came from. Raises `SourceError`, then
        the present ones stay; else `EngineError`, and the engine is started again.
        """
        assert self.weights is not None, "only a family's engine can change its weights"
        try:
            directory = await self._resolved(self.models[name].source)
            if keep and name not in self.weights.copies:
                await self.weights.fetch(name, directory)
            tier = (await self.weights.replace(name, directory)).tier
            return "disk" if tier == "disk" else "host"
        finally:
            self._give_up_unless_certain(name)

    async def rest(self) -> None:
        """Give the device memory back, where nothing runs. Raises `EngineError`: then its state is unknown."""
        assert self.sleep is not None, "only an engine that was started so can sleep"
        assert self.sleep_level is not None, "and then it knows how deep"
        await self.sleep.sleep(self.sleep_level)

    async def wake(self, name: str) -> Tier:
        """Take the device memory again, with the weights of the model `name`; the tier that they came from.

        Raises `SourceError` and `EngineError`; the engine is then started again.
        """
        assert self.sleep is not None, "only an engine that sleeps can wake"
        tier: Tier = "host" if self.sleep.asleep == 1 else "disk"
        try:
            await self.sleep.wake(name, await self._resolved(self.models[name].source))
        finally:
            self._give_up_unless_certain(name)
        return tier

    async def fetch(self, name: str) -> None:
        """Copy the model's weights to host memory. Raises `SourceError` or `EngineError`."""
        assert self.weights is not None, "only a family's engine keeps copies"
        await self.weights.fetch(name, await self._resolved(self.models[name].source))

    async def copy_bytes(self, name: str) -> int | None:
        """What a copy of the model takes in host memory; None where none is kept. Raises `SourceError`."""
        if self.weights is None:
            return None
        return await self.weights.check(await self._resolved(self.models[name].source))

    async def drop(self, name: str) -> None:
        """Forget the copy in host memory. Raises `EngineError`."""
        assert self.weights is not None, "only a family's engine keeps copies"
        await self.weights.drop(name)

    async def load(self, expert: ExpertSpec) -> bool:
        """Load the expert's adapter as it is now; False where the same one is held.

        Raises `SourceError`, or `EngineAwayError` where the engine ended.
        """
        assert self.adapters is not None, "start before loading adapters"
        assert expert.adapter is not None, "only an expert with an adapter is loaded"
        return await self.adapters.put(expert.name, await self._resolved(expert.adapter))

    def _give_up_unless_certain(self, name: str) -> None:
        if self.resident is None and not self._unfit.done():
            self._unfit.set_result(f"the engine of `{name}` has weights that are not certain")

    async def _load_wanted(self) -> None:
        for expert in self._adapted():
            if expert.name not in self.wanted:
                continue
            try:
                await self._load_at_start(expert)
            except SourceError as error:
                _LOG.error("expert `%s`: %s", expert.name, error, extra={"model": self.model.name})
                self.broken[expert.name] = str(error)

    async def _load_at_start(self, expert: ExpertSpec) -> None:
        assert self.adapters is not None, "there is room for it"
        if (times := self.deaths[expert.name]) >= _DEADLY:
            raise AdapterRefusedError(
                f"the engine ended {times} times while it loaded this adapter: mend it, then `coe load {expert.name}`"
            )
        try:
            await self.load(expert)
        except EngineAwayError:
            self.deaths[expert.name] += 1
            raise
        del self.deaths[expert.name]
        if expert.name not in self.wanted:  # unloaded meanwhile
            self.adapters.drop(expert.name)

    def _adapted(self) -> list[ExpertSpec]:
        return [expert for expert in self.experts if expert.adapter]

    async def _room(self, base: BaseLayers) -> LoraRoom | None:
        sources = [expert.adapter for expert in self.experts if expert.adapter]
        if not sources:
            return None
        return lora_room(self.model, [await self._adapter_config(source) for source in sources], base.usual_layers())

    async def _adapter_config(self, source: str) -> AdapterConfig | None:
        """The adapter's configuration; None where it cannot be read now."""
        try:
            return read_config(await self._resolved(source))
        except SourceError:
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
