"""What an expert costs: in comes an experts file, out come parameter counts by name."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import orjson

from routers.errors import BadRow, DataError


@dataclass(frozen=True, slots=True)
class ExpertSize:
    """Parameters in billions: those that one token touches, and all of them (in memory)."""

    active_params_b: float
    total_params_b: float


def read_experts(path: Path) -> dict[str, ExpertSize]:
    """`{name: active_params_in_billions}` or `{name: {"active_params_b": x, "total_params_b": y}}`.

    The total is the active number where it is not given. Raises DataError naming every bad entry.
    """
    try:
        given = orjson.loads(path.read_bytes())
    except OSError as error:
        raise DataError("The experts file cannot be read:", [BadRow(path, 0, error.strerror or str(error))]) from error
    except orjson.JSONDecodeError as error:
        raise DataError("The experts file is not JSON:", [BadRow(path, error.lineno, error.msg)]) from error
    if not isinstance(given, dict) or not given:
        raise DataError(
            "The experts file cannot be used:", [BadRow(path, 0, "must be an object with an expert or more")]
        )
    sizes: dict[str, ExpertSize] = {}
    bad: list[BadRow] = []
    for name, record in given.items():
        try:
            sizes[name] = _size(record)
        except ValueError as error:
            bad.append(BadRow(path, 0, f"expert {name!r}: {error}"))
    if bad:
        raise DataError("The experts file cannot be used:", bad)
    return sizes


def _size(record: object) -> ExpertSize:
    if isinstance(record, Mapping):
        if "active_params_b" not in record:
            raise ValueError("`active_params_b` is missing")
        active = _billions(record["active_params_b"])
        return ExpertSize(active, _billions(record.get("total_params_b", active)))
    active = _billions(record)
    return ExpertSize(active, active)


def _billions(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"parameters must be a number of billions above 0, not {value!r}")
    return float(value)
