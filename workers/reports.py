"""What a worker reports: plain values that cross process boundaries."""

import time
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

ExpertState: TypeAlias = Literal["loading", "ready", "failed", "draining", "unloaded"]
EngineState: TypeAlias = Literal["starting", "ready", "backoff", "failed", "stopped", "parked", "asleep"]
Tier: TypeAlias = Literal["device", "host", "disk"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SwapReport:
    """One change of what is resident on a device: `model` came in from `tier` and `evicted` left, in `seconds`.

    `at` is its end, in seconds since 1970. `number` counts the swaps of one life of a worker, from 1. `error` says why
    it failed; then what is resident is as the next report says.
    """

    number: int
    at: float
    model: str
    tier: Tier
    evicted: tuple[str, ...] = ()
    seconds: float = 0.0
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertReport:
    """One expert now. `running` and `waiting` count its requests; `error` says why it is failed.

    `adapter` is a digest of the adapter that answers, by which one can see that it was replaced; None without one.
    A `ready` expert whose `tier` is not the device is made resident for a request, in about `swap_s` seconds.
    `size_bytes` is of its weights; `room` says how many more requests would run at once; `wait_s` is how long one that
    comes now is expected to wait, a swap included; `unload_in_s` is how long it stays when no request comes, None where
    it stays.
    """

    name: str
    model: str
    state: ExpertState
    tier: Tier
    running: int = 0
    waiting: int = 0
    error: str | None = None
    adapter: str | None = None
    size_bytes: int = 0
    room: int = 0
    swap_s: float = 0.0
    wait_s: float = 0.0
    pinned: bool = False
    unload_in_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineReport:
    """One engine now. `pid` is None where it is not ours or not running; `started_in_s` is its last start."""

    model: str
    state: EngineState
    pid: int | None = None
    restarts: int = 0
    started_in_s: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerReport:
    """One worker now. `epoch` grows with each start of the worker and so tells late reports of earlier starts apart.

    `swaps` are the latest changes of what is resident, the newest last. `at`: when it was made, in seconds since 1970.
    """

    worker_id: str
    group: str
    url: str
    pid: int
    epoch: int
    experts: tuple[ExpertReport, ...]
    engines: tuple[EngineReport, ...]
    swaps: tuple[SwapReport, ...] = ()
    at: float = field(default_factory=time.time, compare=False)

    @property
    def device_bytes(self) -> int:
        """Of the weights on the device. Experts of one model share it, so that it counts once."""
        sizes: dict[str, int] = {}
        for expert in self.experts:
            if expert.tier == "device":
                sizes[expert.model] = max(sizes.get(expert.model, 0), expert.size_bytes)
        return sum(sizes.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadReport:
    """What became of loading or unloading one expert on one worker.

    `changed` is False where it was so already; `seconds` is what it took; `error` says why it was not done, and then
    `code` names the cause for programs.
    """

    worker_id: str
    expert: str
    state: ExpertState
    changed: bool = False
    seconds: float = 0.0
    code: str | None = None
    error: str | None = None
