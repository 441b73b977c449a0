"""The file form of a placement problem: a tree goes in, a `Problem` comes out, or a line for every mistake.

Sizes are in GB of 10^9 bytes, as in the files of `coe simulate`, whose experts can be copied.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from pydantic import Field, ValidationError
from pydantic_core import ErrorDetails

from coe.config.models import Name, Section
from coe.config.source import Location, RawConfig, read_raw
from coe.errors import InputError
from workers.placement.problem import CoUse, Exclusive, Expert, Problem, Worker
from workers.reports import Tier

GB = 10**9
NEEDED = {
    "size_gb": "GB that a copy takes; with --config set the model's `device_gb`, or let its weights be a local `path:`",
    "requests_per_s": "requests a second; with --config give --demand",
    "device_gb": "GB that may be taken on each device; with --config set the group's `memory.device_gb`",
    "workers": "the workers, by name",
    "experts": "the experts, by name",
}


class WorkerEntry(Section):
    device_gb: float = Field(gt=0)
    devices: int = Field(1, ge=1, le=64)
    host_gb: float = Field(0.0, ge=0)
    replicas: int | None = Field(None, ge=1, le=256)


class LoadSeconds(Section):
    host: float | None = Field(None, ge=0, allow_inf_nan=False)
    disk: float = Field(ge=0, allow_inf_nan=False)

    def by_tier(self) -> dict[Tier, float]:
        return {"disk": self.disk} if self.host is None else {"host": self.host, "disk": self.disk}


class ExpertEntry(Section):
    size_gb: float = Field(gt=0, allow_inf_nan=False)
    requests_per_s: float = Field(ge=0, allow_inf_nan=False)
    service_s: float | None = Field(None, gt=0, allow_inf_nan=False)
    load_s: LoadSeconds | None = None
    devices: int = Field(1, ge=1)
    workers: list[str] | None = Field(None, min_length=1)
    pinned: list[str] = Field(default_factory=list)
    min_replicas: int = Field(0, ge=0)
    max_replicas: int | None = Field(None, ge=1)


class CoUseEntry(Section):
    experts: list[str] = Field(min_length=1)
    weight: float = Field(1.0, gt=0, allow_inf_nan=False)


class ExclusiveEntry(Section):
    experts: list[str] = Field(min_length=1)
    workers: list[str] | None = Field(None, min_length=1)


class ProblemFile(Section):
    workers: dict[Name, WorkerEntry] = Field(min_length=1)
    experts: dict[Name, ExpertEntry] = Field(min_length=1)
    co_use: list[CoUseEntry] = Field(default_factory=list)
    exclusive: list[ExclusiveEntry] = Field(default_factory=list)
    present: dict[str, list[str]] | None = None

    @property
    def timed(self) -> bool:
        """Loads are seconds a second; otherwise, where no expert tells `service_s`, requests a second."""
        return any(entry.service_s is not None for entry in self.experts.values())


def read_tree(path: Path) -> RawConfig:
    """A problem file, not yet judged. Raises `ConfigError` where it is no YAML or JSON mapping."""
    return read_raw(path, {}, keys=("workers", "experts"))


def parse(raw: RawConfig) -> ProblemFile:
    """What a tree says. Raises `InputError` with one line `PLACE: KEY: what is wrong; what to do` per mistake."""
    try:
        file = ProblemFile.model_validate(raw.data)
    except ValidationError as error:
        lines = (_line(raw, details) for details in error.errors(include_url=False))
        raise InputError("\n".join(lines)) from error
    _refuse_half_told(raw, file)
    return file


def as_problem(file: ProblemFile, members: Mapping[str, list[str]]) -> Problem:
    """The problem that a file describes. `members`: further names of what is placed.

    Raises `PlacementError` where names or demands contradict each other.
    """
    groups = {name: _ranks(name, entry.replicas) for name, entry in file.workers.items()}
    placed = {member: name for name, all_of in members.items() for member in all_of}
    placed.update(zip(file.experts, file.experts, strict=True))

    def workers(given: Iterable[str]) -> frozenset[str]:
        """By their own name or by that of their group."""
        return frozenset(worker for name in given for worker in groups.get(name, [name]))

    def experts(given: Iterable[str]) -> frozenset[str]:
        return frozenset(placed.get(name, name) for name in given)

    present: dict[str, frozenset[str]] = {}
    for name, held in (file.present or {}).items():
        for worker in groups.get(name, [name]):
            present[worker] = present.get(worker, frozenset()) | experts(held)
    return Problem(
        workers=tuple(
            Worker(
                name=name,
                device_bytes=_bytes(entry.device_gb),
                devices=entry.devices,
                host_bytes=_bytes(entry.host_gb),
            )
            for group, entry in file.workers.items()
            for name in groups[group]
        ),
        experts=tuple(
            Expert(
                name=name,
                size=_bytes(entry.size_gb),
                demand=entry.requests_per_s,
                service_s=entry.service_s or 1.0,
                load_s=entry.load_s.by_tier() if entry.load_s else {},
                devices=entry.devices,
                workers=workers(entry.workers) if entry.workers else None,
                pinned=workers(entry.pinned),
                min_replicas=entry.min_replicas,
                max_replicas=entry.max_replicas,
            )
            for name, entry in file.experts.items()
        ),
        co_use=tuple(CoUse(experts(entry.experts), entry.weight) for entry in file.co_use),
        exclusive=tuple(
            Exclusive(experts(entry.experts), workers(entry.workers) if entry.workers else None)
            for entry in file.exclusive
        ),
        present=None if file.present is None else present,
    )


def _ranks(name: str, replicas: int | None) -> list[str]:
    return [name] if replicas is None else [f"{name}-{rank}" for rank in range(replicas)]


def _bytes(gigabytes: float) -> int:
    return round(gigabytes * GB)


def _refuse_half_told(raw: RawConfig, file: ProblemFile) -> None:
    """Requests and seconds do not add up: the seconds of service are told of all experts or of none."""
    silent = [name for name, entry in file.experts.items() if entry.service_s is None]
    if not silent or not (file.timed or any(entry.load_s for entry in file.experts.values())):
        return
    raise InputError(
        f"{raw.path}: `service_s` is missing of {', '.join(silent)}: give the seconds of service a request, of all "
        "experts wherever one of them has `service_s` or `load_s`."
    )


def _line(raw: RawConfig, details: ErrorDetails) -> str:
    location: Location = tuple(part for part in details["loc"] if part != "[key]")
    key = ".".join(str(part) for part in location)
    match details["type"]:
        case "missing":
            told = NEEDED.get(str(location[-1]))
            message = f"it is missing: {told}." if told else "it is missing."
        case "extra_forbidden":
            message = "unknown key; `coe plan-placement --help` shows those that there are."
        case _:
            message = f"{details['msg']} (it is {details['input']!r})."
    return f"{raw.origin(location)}: {key}: {message}"
