"""Files of a simulation: a trace of requests and the experts that they ask for, read with their faults named, written.

A trace is JSON lines, plain or .gz: `{"t": seconds, "expert": name, "service_s": seconds}`, and `"announced": seconds`
where it is known of before it comes. Experts are one JSON object:
`{name: {"size_gb": x, "load_s": {"host": seconds, "disk": seconds}}}`.
"""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from workers.errors import SimulationError
from workers.policies import Cost

GB = 10**9
_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Request:
    """One request: it arrives at `t` and takes up the device for `service_s`, both in seconds.

    From `announced` on, which is no later than `t`, it is known that it comes; None: from its arrival on.
    """

    t: float
    expert: str
    service_s: float
    announced: float | None = None


def read_experts(path: Path) -> dict[str, Cost]:
    """What the experts in `path` cost. Raises SimulationError, which names the expert and what is wrong with it."""
    try:
        found = orjson.loads(_bytes(path))
    except orjson.JSONDecodeError as error:
        raise SimulationError(f"{path} is not JSON: {error}") from error
    if not isinstance(found, dict) or not found:
        raise SimulationError(
            f"{path}: experts are one JSON object with at least one entry, "
            '{"NAME": {"size_gb": 14, "load_s": {"host": 0.5, "disk": 4}}}'
        )
    return {name: _cost(row, f"{path}, expert {name!r}") for name, row in found.items()}


def read_trace(path: Path, experts: Mapping[str, Cost]) -> list[Request]:
    """The requests in `path` in order of arrival. Raises SimulationError with each bad line's number and reason."""
    requests: list[Request] = []
    faults: list[str] = []
    for number, line in _lines(path):
        try:
            requests.append(_request(line, experts))
        except SimulationError as fault:
            faults.append(f"line {number}: {fault}")
    if faults:
        more = [f"and {len(faults) - _SHOWN} more"] if len(faults) > _SHOWN else []
        raise SimulationError("\n  ".join([f"{path} cannot be simulated:", *faults[:_SHOWN], *more]))
    if not requests:
        raise SimulationError(f"{path} holds no request: give one JSON object a line")
    return sorted(requests, key=lambda request: request.t)


def write_trace(path: Path, requests: Iterable[Request]) -> None:
    """As `read_trace` reads it; compressed where the name ends in .gz."""
    data = b"".join(orjson.dumps(_row(request)) + b"\n" for request in requests)
    path.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)


def write_experts(path: Path, experts: Mapping[str, Cost]) -> None:
    """As `read_experts` reads it."""
    rows = {name: {"size_gb": cost.size / GB, "load_s": dict(cost.load_s)} for name, cost in experts.items()}
    path.write_bytes(orjson.dumps(rows, option=orjson.OPT_INDENT_2) + b"\n")


def _row(request: Request) -> dict[str, float | str]:
    announced = {} if request.announced is None else {"announced": request.announced}
    return {"t": request.t, "expert": request.expert, "service_s": request.service_s, **announced}


def _request(line: bytes, experts: Mapping[str, Cost]) -> Request:
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise SimulationError(f"is not JSON: {error}") from error
    if not isinstance(row, dict):
        raise SimulationError('is not an object like {"t": 0.5, "expert": "NAME", "service_s": 1.2}')
    expert = row.get("expert")
    if not isinstance(expert, str):
        raise SimulationError("`expert` must be a name")
    if expert not in experts:
        raise SimulationError(f"the experts file has no expert {expert!r}")
    t, announced = _number(row, "t"), _number(row, "announced") if "announced" in row else None
    if announced is not None and announced > t:
        raise SimulationError(f"`announced` is {announced:g}, after `t`, which is {t:g}")
    return Request(t, expert, _number(row, "service_s"), announced)


def _cost(row: object, where: str) -> Cost:
    try:
        return _checked_cost(row)
    except SimulationError as fault:
        raise SimulationError(f"{where}: {fault}") from fault


def _checked_cost(row: object) -> Cost:
    if not isinstance(row, dict) or not isinstance(row.get("load_s"), dict):
        raise SimulationError('must be an object like {"size_gb": 14, "load_s": {"host": 0.5, "disk": 4}}')
    size = _number(row, "size_gb", above=True)
    host, disk = _number(row["load_s"], "host"), _number(row["load_s"], "disk")
    if disk < host:
        raise SimulationError("`load_s.disk` is below `load_s.host`: what comes from disk passes host memory")
    return Cost(size=max(1, round(size * GB)), load_s={"host": host, "disk": disk})


def _number(row: Mapping[str, object], key: str, *, above: bool = False) -> float:
    """A finite number at `key`, at least 0; `above`: more than that."""
    value = row.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SimulationError(f"`{key}` must be a number, not {_shown(value)}")
    if not math.isfinite(value) or value < 0 or (above and value == 0):
        raise SimulationError(f"`{key}` must be {'above' if above else 'at least'} 0 and finite, not {value}")
    return float(value)


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    for number, line in enumerate(_bytes(path).splitlines(), start=1):
        if line.strip():
            yield number, line


def _bytes(path: Path) -> bytes:
    try:
        data = path.read_bytes()
        return gzip.decompress(data) if path.suffix == ".gz" else data
    except (OSError, EOFError, zlib.error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise SimulationError(f"{path} cannot be read: {reason}") from error
