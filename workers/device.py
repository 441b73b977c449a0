"""The engines of one worker as one device: swaps of models go in, engines are started, ended or given other weights."""

from collections.abc import Collection, Sequence

from workers.engine.hosted_engine import HostedEngine
from workers.policies import Cost, Memory
from workers.reports import Tier
from workers.residency import UNKNOWN_SIZE
from workers.spec import ModelSpec, WorkerSpec

UNLIMITED = 2**62  # bytes
_STARTED_S = 60.0  # an engine of its own; both are guesses until they are measured
_REPLACED_S = 1.0


class Device:
    """The mechanism of `workers.residency` over real engines."""

    def __init__(self, spec: WorkerSpec, engines: Sequence[HostedEngine]) -> None:
        self._engines = engines
        self._sizes = {name: _size(spec, models[0]) for name, models in spec.families.items()}
        self._by_model = {name: engine for engine in engines for name in engine.models}

    def resident(self) -> Collection[str]:
        """The models that can answer now."""
        return {name for engine in self._engines if (name := engine.resident)}

    def copies(self) -> Collection[str]:
        """The models that have a copy in host memory now."""
        return {name for engine in self._engines for name in engine.copies}

    def reserved(self) -> int:
        """Bytes of engines that run, but with nothing resident: they are being started."""
        away = [engine for engine in self._engines if not (engine.parked or engine.asleep or engine.resident)]
        return sum(self._sizes[engine.name] for engine in away)

    def leaves_copy(self, name: str) -> bool:
        """See `Mechanism.leaves_copy`."""
        return self._by_model[name].leaves_copy

    def fetches(self, name: str) -> bool:
        """See `Mechanism.fetches`."""
        return self._by_model[name].fetches

    async def swap(self, name: str, evict: Collection[str], *, keep: Collection[str]) -> Tier:
        """See `Mechanism.swap`. Raises `SourceError` or `EngineError`."""
        engine = self._by_model[name]
        for victim in evict:
            if self._by_model[victim] is not engine:
                await self._by_model[victim].park(keep=victim in keep)
        return await engine.bring(name, keep=name in keep)

    async def evict(self, name: str, *, keep: bool) -> None:
        """See `Mechanism.evict`."""
        await self._by_model[name].park(keep=keep)

    async def copy_bytes(self, name: str) -> int:
        """See `Mechanism.copy_bytes`."""
        return await self._by_model[name].copy_bytes(name) or self._sizes[self._by_model[name].name]

    async def fetch(self, name: str) -> None:
        """See `Mechanism.fetch`."""
        await self._by_model[name].fetch(name)

    async def drop(self, name: str) -> None:
        """See `Mechanism.drop`."""
        await self._by_model[name].drop(name)


def is_movable(spec: WorkerSpec, model: str) -> bool:
    """Whether the model may leave the device: it shares an engine, or memory is limited, or it goes when unused."""
    found = next(found for found in spec.models if found.name == model)
    if found.url:
        return False
    limited = spec.memory.device_bytes is not None or any(model in group for group in spec.memory.exclusive)
    return limited or len(spec.families[found.engine]) > 1 or found.idle_s is not None


def empty_memory(spec: WorkerSpec) -> Memory:
    """The device's memory before anything is in it, with guesses of what loads cost."""
    families = [frozenset(model.name for model in models) for models in spec.families.values() if len(models) > 1]
    shared = frozenset().union(*families)

    def cost(model: ModelSpec) -> Cost:
        seconds = _REPLACED_S if model.name in shared else _STARTED_S
        return Cost(size=_size(spec, model), load_s={"host": seconds, "disk": seconds})

    limit = spec.memory.device_bytes
    asleep = sum(models[0].asleep_bytes for models in spec.families.values()) if spec.memory.sleep else 0
    return Memory(
        costs={model.name: cost(model) for model in spec.models},
        device_bytes=UNLIMITED if limit is None else limit - asleep,
        host_bytes=spec.memory.host_bytes,
        groups=(*families, *spec.memory.exclusive),
    )


def _size(spec: WorkerSpec, model: ModelSpec) -> int:
    """Bytes that the model's engine gives back when it makes room; what it takes asleep is kept for it all the time."""
    return max(UNKNOWN_SIZE, model.device_bytes - (model.asleep_bytes if spec.memory.sleep else 0))


def first_residents(spec: WorkerSpec) -> dict[str, str]:
    """The model that each engine starts with, by the engine's name; engines for which there is no room are not named.

    Those to preload come first, then the models in their order.
    """
    memory = empty_memory(spec)
    by_name = {model.name: model for model in spec.models}
    chosen: dict[str, str] = {}
    for name in dict.fromkeys((*spec.memory.preload, *by_name)):
        if memory.evicted_for(name, []) == ():
            memory.resident[name] = 0.0
            chosen[by_name[name].engine] = name
    return chosen
