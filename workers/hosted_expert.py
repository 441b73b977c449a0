"""One expert as the data port serves it: its specification, engine and admission go in, leases and reports come out."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from workers.admission import Admission
from workers.engine.hosted_engine import HostedEngine
from workers.errors import NotResidentError, NotUnloadableError
from workers.openai_errors import Failure, RefusedError
from workers.pins import Pins
from workers.port.data_port import Lease
from workers.port.requests import ExpertRequest
from workers.reports import ExpertReport, ExpertState, Tier
from workers.residency import Residency
from workers.spec import ExpertSpec

_LOADING_RETRY_S = 5.0
_FAILED_RETRY_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HostedExpert:
    """`movable`: its model can leave the device. `idle_s`: how long the model stays unused; None: for ever."""

    spec: ExpertSpec
    host: HostedEngine
    admission: Admission
    residency: Residency
    pins: Pins
    movable: bool
    idle_s: float | None = None
    _changing: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def session(self) -> aiohttp.ClientSession:
        return self.host.session

    @property
    def base_url(self) -> str:
        return self.host.base_url

    def refusal(self) -> Failure | None:
        state, error = self.state()
        match state:
            case "ready":
                return None
            case "loading":
                return Failure(503, "expert_loading", f"expert `{self.name}` is being loaded", _LOADING_RETRY_S)
            case "failed":
                reason = f"expert `{self.name}` cannot be served: {error}"
                return Failure(503, "expert_unavailable", reason, _FAILED_RETRY_S)
            case "unloaded":
                remedy = f"expert `{self.name}` is not loaded: load it with `coe load {self.name}`"
                return Failure(503, "expert_unloaded", remedy, _FAILED_RETRY_S)
            case "draining":
                return Failure(503, "draining", "this worker is being stopped: ask another one", _LOADING_RETRY_S)

    def state(self) -> tuple[ExpertState, str | None]:
        """What a request would meet, and what is wrong. `ready` also where its model has to be made resident first."""
        state, error = self.host.state_of(self.spec)
        if state != "ready" or self.residency.admits(self.spec.model):
            return state, error
        if failed := self.residency.failure(self.spec.model):
            return "failed", str(failed.error)
        if blockers := self.residency.blockers(self.spec.model):
            names = ", ".join(f"`{name}`" for name in blockers)
            return (
                "failed",
                f"model `{self.spec.model}` has no place beside what is pinned: unpin the experts of {names}",
            )
        return "ready", None

    def expect(self, probability: float) -> None:
        """A request is likely to come soon. See `Servable.expect`."""
        if self.refusal() is None:
            self.admission.expect(self.name, probability)

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Lease]:
        """How to ask the engine, good until the lease ends. See `Servable.lease`."""
        async with self.admission.slot(self.name) as turn:
            if failure := self.refusal():  # what was ready before the wait may have gone since
                raise RefusedError(failure)
            with self.host.lease(self.spec) as served_name:
                asking = ExpertRequest(self.spec, served_name)
                yield Lease(asking, turn.tier, turn.swap_s, turn.waited_s, turn.swap)

    async def load(self) -> bool:
        """Make its model resident and its adapter answer as it is now; False where both do already.

        After what else is under way with this expert. Raises `SourceError`, `EngineError` and `AdmissionError`.
        """
        async with self._changing:
            self.residency.forget_failure(self.spec.model)
            return await self._bring_model() or await self.host.load(self.spec)

    async def unload(self) -> bool:
        """Take its adapter out of the engine, or its model off the device, when what runs there has ended.

        After what else is under way with this expert. Raises `NotUnloadableError` and `EngineError`.
        """
        async with self._changing:
            if self.name in self.pins:
                raise NotUnloadableError(f"expert `{self.name}` is pinned: `coe unpin {self.name}` first")
            if self.spec.adapter or not self.movable:
                return self.host.unload(self.spec)
            if others := self.pins.on(self.spec.model):
                unpin = ", ".join(f"`coe unpin {name}`" for name in others)
                raise NotUnloadableError(f"the model of expert `{self.name}` is pinned: {unpin} first")
            return await self.admission.put_away(self.spec.model)

    async def pin(self) -> bool:
        """Make its model resident, load its adapter, and keep both; False where it is pinned. Raises as `load`."""
        async with self._changing:
            if self.name in self.pins:
                return False
            self.pins.add(self.name)  # before it comes: whoever waits for its place would have it at once
            try:
                await self._bring_model()
                await self._load_adapter()
            except BaseException:  # also a cancellation: what did not come is not pinned
                self.pins.remove(self.name)
                raise
            await self.host.pin(self.spec)
            return True

    async def unpin(self) -> bool:
        """Let its model and its adapter leave again; False where it is not pinned."""
        async with self._changing:
            if self.name not in self.pins:
                return False
            self.pins.remove(self.name)
            self.admission.advance()
            await self.host.unpin(self.spec)
            return True

    def report(self, *, draining: bool) -> ExpertReport:
        state, error = self.state()
        memory, model = self.residency.memory, self.spec.model
        tier: Tier = memory.tier(model) if state == "ready" else "disk"
        return ExpertReport(
            name=self.name,
            model=model,
            state="draining" if draining else state,
            tier=tier,
            running=self.admission.running(self.name),
            waiting=self.admission.waiting(self.name),
            error=error,
            adapter=self.host.digest(self.spec),
            size_bytes=memory.costs[model].size,
            room=self.admission.room(self.name),
            swap_s=round(memory.load_s(model), 4),
            wait_s=round(self.admission.expected_wait_s(self.name), 3),
            pinned=self.name in self.pins,
            unload_in_s=self.residency.unload_in_s(model, self.idle_s),
        )

    async def _load_adapter(self) -> None:
        if self.spec.adapter and self.host.digest(self.spec) is None:
            await self.host.load(self.spec)

    async def _bring_model(self) -> bool:
        if self.residency.admits(self.spec.model):
            return False
        self.host.require_reachable()
        try:
            async with self.admission.slot(self.name):
                return True
        except NotResidentError:
            if failed := self.residency.failure(self.spec.model):
                raise failed.error from None  # the cause by its own name
            raise
