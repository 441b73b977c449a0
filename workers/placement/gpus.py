"""GPUs of one machine and the engines that share them: plain values, and what an engine takes of each of its GPUs.

vLLM takes a share of a GPU (`gpu_memory_utilization`), whatever it serves, and leaves the rest of it to the cache:

    share of the GPU = weights + overhead + key-value cache

Weights and cache are computed. The overhead (activations, captured graphs, communication) is an assumption, since only
a start on that GPU measures it.
"""

from dataclasses import dataclass

GIB = 2**30
CACHE_BYTES = 2  # of one number in the cache, as long as the engine is not told to narrow it
_KEY_AND_VALUE = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What decides how much memory a model takes: the bytes of its weights, and what its `config.json` says."""

    weight_bytes: int
    layers: int
    kv_heads: int
    head_dim: int

    def token_bytes(self, gpus: int) -> int:
        """Of one token in the key-value cache, on each of `gpus`, of which each holds at least one head."""
        heads = -(-self.kv_heads // gpus)
        return _KEY_AND_VALUE * self.layers * heads * self.head_dim * CACHE_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """One engine: `utilization` is its share of each of its `gpus`, `context` the tokens of its longest request.

    `declared`: bytes that it is said to take of all its GPUs, by which engines are let in that take turns.
    """

    model: str
    shape: Shape
    gpus: int
    utilization: float
    context: int
    declared: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """`replicas` workers alike, each with GPUs of its own for all its `engines`.

    `limit`: bytes of these GPUs that engines may be declared to take at a time; without it all run at once.
    """

    name: str
    engines: tuple[Engine, ...]
    replicas: int = 1
    limit: int | None = None

    @property
    def gpus(self) -> int:
        """Of one worker."""
        return max(engine.gpus for engine in self.engines)


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """`gpus` alike, of `gpu_bytes` each, as their driver says; `overhead_bytes` are assumed for an engine on each."""

    gpus: int
    gpu_bytes: int
    overhead_bytes: int


@dataclass(frozen=True, slots=True)
class Seat:
    """One engine on the GPUs of one worker, of which `first` is the first. Sizes are of each of these GPUs."""

    engine: Engine
    worker: str
    first: int
    machine: Machine
    in_turns: bool

    @property
    def gpus(self) -> range:
        return range(self.first, self.first + self.engine.gpus)

    @property
    def share(self) -> int:
        return round(self.engine.utilization * self.machine.gpu_bytes)

    @property
    def weights(self) -> int:
        return -(-self.engine.shape.weight_bytes // self.engine.gpus)

    @property
    def cache(self) -> int:
        """What is left for it; below zero where not even the weights fit."""
        return self.share - self.weights - self.machine.overhead_bytes

    @property
    def tokens(self) -> int:
        """That fit the cache of all its GPUs."""
        return max(0, self.cache) // self.engine.shape.token_bytes(self.engine.gpus)


def gib(size: float) -> str:
    """A number of bytes for people."""
    return f"{size / GIB:.1f} GiB"
