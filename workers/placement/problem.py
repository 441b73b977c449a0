"""What is to be placed, and where it may go: plain values, refused where they contradict each other."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

from workers.errors import PlacementError
from workers.reports import Tier


@dataclass(frozen=True, slots=True, kw_only=True)
class Worker:
    """`devices` alike, on each of which weights may take `device_bytes`, and host memory for copies of weights."""

    name: str
    device_bytes: int
    devices: int = 1
    host_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Expert:
    """Weights that come and go as one.

    Attributes:
        size: bytes that one copy takes on its devices together.
        demand: requests a second, at least 0.
        service_s: seconds for which one request takes up the devices of a copy, above 0; of requests that are computed
            together, each counts its part.
        load_s: seconds in which it comes in from `host` and from `disk`. Where empty, it must be resident.
        devices: over which a copy is split evenly, all of one worker.
        workers: on which it may be; None: any.
        pinned: workers that must hold a copy, and never give it up.
        min_replicas: fewest copies; with 0 it may be off the devices.
        max_replicas: most copies; None: as many as help.
    """

    name: str
    size: int
    demand: float
    service_s: float
    load_s: Mapping[Tier, float] = field(default_factory=dict)
    devices: int = 1
    workers: frozenset[str] | None = None
    pinned: frozenset[str] = frozenset()
    min_replicas: int = 0
    max_replicas: int | None = None

    @property
    def work(self) -> float:
        """Seconds of service that are asked for in a second."""
        return self.demand * self.service_s

    @property
    def shard(self) -> int:
        """Bytes on each device of a copy."""
        return -(-self.size // self.devices)

    @property
    def stays(self) -> bool:
        """It is never swapped out."""
        return bool(self.pinned) or not self.load_s


@dataclass(frozen=True, slots=True)
class CoUse:
    """Experts that one plan asks together. `weight`: such plans a second, or any measure of them."""

    experts: frozenset[str]
    weight: float


@dataclass(frozen=True, slots=True)
class Exclusive:
    """Experts of which at most one may be resident on a worker, on any or on those named."""

    experts: frozenset[str]
    workers: frozenset[str] | None = None

    def on(self, worker: str) -> frozenset[str]:
        """The experts that exclude each other there."""
        return self.experts if self.workers is None or worker in self.workers else frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What to place.

    `present`: the experts that each
    worker holds now, from which it is costly to depart; None where nothing runs yet.

    Raises `PlacementError`, which names every name that is unknown or repeated and every demand that contradicts
    another or that no worker could ever meet.
    """

    workers: tuple[Worker, ...]
    experts: tuple[Expert, ...]
    co_use: tuple[CoUse, ...] = ()
    exclusive: tuple[Exclusive, ...] = ()
    present: Mapping[str, frozenset[str]] | None = None

    def __post_init__(self) -> None:
        problems = [*_unknown_names(self)] or [
            *(line for expert in self.experts for line in _contradictions(expert, self.workers)),
            *_clashes(self),
        ]
        if problems:
            raise PlacementError("\n".join(problems))


def spots(expert: Expert, worker: Worker) -> Iterator[tuple[int, ...]]:
    """The groups of a worker's devices that a copy may take: aligned blocks, as 0-3 and 4-7 for four devices of eight.

    Blocks of one size do not overlap, so a worker can hold several copies.
    """
    if (expert.workers is None or worker.name in expert.workers) and expert.shard <= worker.device_bytes:
        for block in range(worker.devices // expert.devices):
            yield tuple(range(block * expert.devices, (block + 1) * expert.devices))


def _unknown_names(problem: Problem) -> Iterator[str]:
    for kind, names in (
        ("worker", [one.name for one in problem.workers]),
        ("expert", [e.name for e in problem.experts]),
    ):
        yield from (f"the {kind} `{name}` is there twice: rename one" for name, n in Counter(names).items() if n > 1)
        if not names:
            yield f"there is no {kind}: name at least one"
    workers, experts = {one.name for one in problem.workers}, {one.name for one in problem.experts}
    present = problem.present or {}
    for expert in problem.experts:
        yield from _missing(f"`workers` of `{expert.name}`", "worker", expert.workers or (), workers)
        yield from _missing(f"`pinned` of `{expert.name}`", "worker", expert.pinned, workers)
    for together in problem.co_use:
        yield from _missing("`co_use`", "expert", together.experts, experts)
    for group in problem.exclusive:
        yield from _missing("`exclusive`", "expert", group.experts, experts)
        yield from _missing("`exclusive`", "worker", group.workers or (), workers)
    yield from _missing("`present`", "worker", present, workers)
    for worker, held in present.items():
        yield from _missing(f"`present` of `{worker}`", "expert", held, experts)


def _missing(where: str, kind: str, names: Iterable[str], known: set[str]) -> Iterator[str]:
    for name in sorted(set(names) - known):
        yield f"{where} names `{name}`; there is no such {kind}, known: {', '.join(sorted(known))}"


def _contradictions(expert: Expert, workers: tuple[Worker, ...]) -> Iterator[str]:
    name, found = expert.name, {worker.name: len(list(spots(expert, worker))) for worker in workers}
    room = sum(found.values())
    least = max(expert.min_replicas, len(expert.pinned))
    if expert.workers is not None and (outside := sorted(expert.pinned - expert.workers)):
        yield f"`{name}` is pinned to {', '.join(outside)}, which its `workers` leave out: add them, or unpin it"
    elif not any(found.values()):
        yield _fits_nowhere(expert, [one for one in workers if expert.workers is None or one.name in expert.workers])
    elif too_small := sorted(worker for worker in expert.pinned if not found[worker]):
        yield f"`{name}` is pinned to {', '.join(too_small)}, too small for {gigabytes(expert.size)}: unpin it there"
    elif least > room:
        yield f"`{name}` shall have {least} copies; there is room for {room} at most: lower `min_replicas`"
    if expert.max_replicas is not None and least > expert.max_replicas:
        yield f"`{name}` needs {least} copies (`min_replicas`, `pinned`), its `max_replicas` is {expert.max_replicas}"


def _fits_nowhere(expert: Expert, allowed: list[Worker]) -> str:
    room = max((one.device_bytes for one in allowed), default=0)
    most = max((one.devices for one in allowed), default=0)
    split = f" on each of {expert.devices} devices" if expert.devices > 1 else ""
    enough = 2 ** math.ceil(math.log2(expert.size / room)) if room else math.inf  # engines split by powers of two
    remedies = ["raise `device_gb`", "take smaller weights (a narrower dtype)"]
    if expert.devices > most:
        remedies = ["lower its `devices`"]
    elif expert.devices < enough <= most:
        remedies.insert(0, f"split it over `devices: {enough}`")
    return (
        f"`{expert.name}` fits no worker that it may be on: it takes {gigabytes(expert.shard)}{split}; the largest of "
        f"them has {most} device{'s' * (most != 1)} of {gigabytes(room)}: {' or '.join(remedies)}"
    )


def _clashes(problem: Problem) -> Iterator[str]:
    """Pins that cannot be on one worker together."""
    for worker in problem.workers:
        pinned = [expert for expert in problem.experts if worker.name in expert.pinned]
        needed, there = sum(one.shard * one.devices for one in pinned), worker.device_bytes * worker.devices
        if needed > there and all(expert.shard <= worker.device_bytes for expert in pinned):
            names = ", ".join(f"`{expert.name}`" for expert in pinned)
            size = f"{gigabytes(needed)} of its {gigabytes(there)}"
            yield f"{names} are pinned to `{worker.name}` and take {size}: unpin some"
        for group in problem.exclusive:
            rivals = group.on(worker.name)
            for one, other in combinations(sorted(expert.name for expert in pinned if expert.name in rivals), 2):
                yield f"`{one}` and `{other}` exclude each other and are both pinned to `{worker.name}`: unpin one"


def gigabytes(size: float) -> str:
    """A number of bytes for people; 1 GB is 10^9 bytes."""
    return f"{size / 1e9:.3g} GB"
