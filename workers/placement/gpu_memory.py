"""Whether engines fit the GPUs of a machine: worker groups go in, a `MemoryPlan` comes out, or what is over."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from workers.errors import PlacementError
from workers.placement.gpus import Group, Machine, Seat, gib

MOST_UTILIZATION = 0.95  # above it engines often lack memory at their start
LEAST_CONTEXT = 64  # tokens; the least that `max_model_len` may be


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUse:
    """One engine on one GPU, in bytes. `tokens` fit its cache over all its GPUs: `requests` of the longest."""

    gpu: int
    worker: str
    model: str
    weights: int
    overhead: int
    cache: int
    tokens: int
    requests: float
    in_turns: bool

    @property
    def taken(self) -> int:
        return self.weights + self.overhead + self.cache


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """`uses` by GPU; `free` are the GPUs that no worker has."""

    machine: Machine
    uses: tuple[EngineUse, ...]
    free: int


def plan_memory(groups: Sequence[Group], machine: Machine) -> MemoryPlan:
    """Give each worker its GPUs, in the order of `groups`, and count what its engines take of them.

    Raises:
        PlacementError: with a line for everything that does not fit: which worker and GPU, and by how much.
    """
    wanted = sum(group.replicas * group.gpus for group in groups)
    seats: list[Seat] = []
    problems: list[str] = []
    first = 0
    for group in groups:
        for rank in range(group.replicas):
            worker = f"{group.name}-{rank}"
            here = [
                Seat(engine, worker, first, machine, group.limit is not None and len(group.engines) > 1)
                for engine in group.engines
            ]
            if first + group.gpus > machine.gpus:
                problems.append(_no_gpus(worker, group.gpus, max(0, machine.gpus - first), machine.gpus, wanted))
            elif rank == 0:  # the others are alike
                problems += _problems(group, here)
            seats += here
            first += group.gpus
    if problems:
        raise PlacementError("\n".join(problems))
    uses = sorted((use for seat in seats for use in _uses(seat)), key=lambda use: use.gpu)
    return MemoryPlan(machine, tuple(uses), machine.gpus - first)


def _uses(seat: Seat) -> Iterator[EngineUse]:
    for gpu in seat.gpus:
        yield EngineUse(
            gpu=gpu,
            worker=seat.worker,
            model=seat.engine.model,
            weights=seat.weights,
            overhead=seat.machine.overhead_bytes,
            cache=seat.cache,
            tokens=seat.tokens,
            requests=seat.tokens / seat.engine.context,
            in_turns=seat.in_turns,
        )


def _problems(group: Group, seats: Sequence[Seat]) -> Iterator[str]:
    for seat in seats:
        needed = seat.engine.context * seat.engine.shape.token_bytes(seat.engine.gpus)
        if needed > seat.cache:
            yield _too_large(seat, needed)
    if group.limit is None:
        yield from _crowded(seats)
    else:
        yield from _misdeclared(group, group.limit, seats)


def _too_large(seat: Seat, needed: int) -> str:
    engine, gpus = seat.engine, seat.gpus
    where = f"GPU {gpus[0]}" if len(gpus) == 1 else f"each of GPUs {gpus[0]}-{gpus[-1]}"
    remedies = [f"split it over more GPUs (`tensor_parallel: {engine.gpus * 2}`)"]
    if seat.tokens >= LEAST_CONTEXT:
        remedies.append(f"lower `max_model_len` to {seat.tokens:,} or less")
    if engine.utilization < MOST_UTILIZATION:
        remedies.append("raise `gpu_memory_utilization`")
    return (
        f"`{engine.model}` does not fit {where} of worker `{seat.worker}`: {gib(seat.weights)} of weights, "
        f"{gib(seat.machine.overhead_bytes)} of overhead and {gib(needed)} of cache for one request of "
        f"{engine.context:,} tokens, where the engine may take {gib(seat.share)}: {gib(needed - seat.cache)} over; "
        f"{' or '.join(remedies)}"
    )


def _crowded(seats: Sequence[Seat]) -> Iterator[str]:
    """Engines that run at once and take more of a GPU than there is."""
    for gpu in sorted({gpu for seat in seats for gpu in seat.gpus}):
        here = [seat for seat in seats if gpu in seat.gpus]
        there = here[0].machine.gpu_bytes
        over = sum(seat.share for seat in here) - there
        if over > 0:
            names = ", ".join(f"`{seat.engine.model}`" for seat in here)
            yield (
                f"{names} run at once on GPU {gpu} of worker `{here[0].worker}`: their shares are {gib(over)} more "
                f"than its {gib(there)}; lower `gpu_memory_utilization`, let them take turns (`memory.device_gb`, "
                "`memory.sleep`), or give one of them a worker group of its own"
            )


def _misdeclared(group: Group, limit: int, seats: Sequence[Seat]) -> Iterator[str]:
    """Engines that take turns are let in by what they are declared to take, which has to be true."""
    worker, there = seats[0].worker, group.gpus * seats[0].machine.gpu_bytes
    if limit > there:
        yield f"`memory.device_gb` of worker `{worker}` is {gib(limit - there)} more than its GPUs have, {gib(there)}"
    for seat in seats:
        engine, taken = seat.engine, seat.share * seat.engine.gpus
        if engine.gpus < group.gpus:
            yield (
                f"`{engine.model}` takes turns on worker `{worker}` with engines over more GPUs: give it their "
                f"`tensor_parallel: {group.gpus}`, or a worker group of its own"
            )
        elif taken > engine.declared:
            yield (
                f"`{engine.model}` takes {gib(taken)} of worker `{worker}` (`gpu_memory_utilization`), "
                f"{gib(taken - engine.declared)} more than its `device_gb` says: make them agree"
            )


def _no_gpus(worker: str, gpus: int, left: int, there: int, wanted: int) -> str:
    return (
        f"worker `{worker}` needs {gpus} GPU{'s' * (gpus > 1)} and {left} of {there} are left: all workers together "
        f"need {wanted}, {wanted - there} more than there are; lower `replicas`, or let experts of one worker group "
        "take turns (`memory.device_gb`, `memory.sleep`)"
    )
