"""A service's configuration as a placement problem: configuration, demand and file go in, a problem's tree comes out.

What is placed are models: experts of one model share its weights. A file in the form of `coe.placement.problem_file`
tells what the configuration does not (seconds, plans that ask several experts), and outweighs it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from coe.config.load import LoadedConfig
from coe.config.models import Config, WorkerConfig
from coe.config.source import Raw, RawConfig, read_raw
from coe.config.specs import GIB, PATH_SCHEME
from coe.errors import InputError
from coe.placement.problem_file import GB
from workers.placement.sizes import weight_bytes
from workers.sources.resolution import model_folder


@dataclass(frozen=True, slots=True)
class ServiceProblem:
    """`raw` is a problem's tree. `members`: the experts of each model. `elsewhere`: models of servers with a `url`."""

    raw: RawConfig
    members: Mapping[str, list[str]]
    elsewhere: list[str]


def read_demand(path: Path) -> dict[str, float]:
    """Requests a second by expert, from YAML or JSON. Raises `ConfigError` and `InputError`."""
    raw = read_raw(path, {}, keys=("EXPERT: requests a second",))
    demand: dict[str, float] = {}
    for name, value in raw.data.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
            raise InputError(f"{raw.origin((name,))}: {name}: requests a second, a number from 0 (it is {value!r}).")
        demand[name] = float(value)
    return demand


def service_problem(loaded: LoadedConfig, demand: Mapping[str, float] | None, file: RawConfig | None) -> ServiceProblem:
    """Lay `file` over what `loaded` and `demand` tell.

    Raises:
        InputError: names are unknown or missing, or experts of one model are not on the same workers.
        SourceError: a local checkpoint is missing or damaged.
    """
    config = loaded.config
    members: dict[str, list[str]] = {}
    for name, expert in config.experts.items():
        members.setdefault(expert.model, []).append(name)
    elsewhere = [model for model in members if config.models[model].url is not None]
    placed = {model: names for model, names in members.items() if model not in elsewhere}
    given: Raw = {} if file is None else file.data
    if demand is not None:
        _refuse_unknown("--demand", demand, config.experts)
        if missing := [name for names in placed.values() for name in names if name not in demand]:
            raise InputError(
                f"--demand tells nothing of {', '.join(missing)}: give requests a second, 0 where none come."
            )
    tree: Raw = {
        "workers": {group: _worker(worker) for group, worker in config.workers.items()},
        "experts": {
            model: _expert(loaded, model, names, demand, _section(given, "experts", model))
            for model, names in placed.items()
        },
    }
    _refuse_unknown("`workers`", _section(given, "workers"), config.workers)
    _refuse_unknown("`experts` (with --config: the models)", _section(given, "experts"), placed)
    merged = _merged(tree, given)
    told = [*_families(config, placed), *_exclusive(config)]
    further = given.get("exclusive", [])
    merged["exclusive"] = [*told, *further] if isinstance(further, list) else further
    for expert in config.experts.values():
        if expert.pin:  # what has no seconds of loading is resident, and stays so
            _section(merged, "experts", expert.model).pop("load_s", None)
    raw = RawConfig(loaded.raw.path if file is None else file.path, merged, {} if file is None else file.origins)
    return ServiceProblem(raw, placed, elsewhere)


def _expert(loaded: LoadedConfig, model: str, names: list[str], demand: Mapping[str, float] | None, given: Raw) -> Raw:
    config = loaded.config
    entry: Raw = {}
    groups = {name: [group for group in config.workers if name in config.experts_of(group)] for name in names}
    if len({tuple(on) for on in groups.values()}) > 1 and "workers" not in given:
        told = "; ".join(f"{name} on {', '.join(on)}" for name, on in groups.items())
        raise InputError(
            f"{loaded.raw.origin(('workers',))}: experts of the model `{model}` are on different workers ({told}): let "
            f"the same groups hold them, or give `workers` of `{model}` in the problem file."
        )
    entry["workers"] = groups[names[0]]
    if demand is not None:
        entry["requests_per_s"] = sum(demand[name] for name in names)
    if "size_gb" not in given and (size := _size(loaded, model, names)) is not None:
        entry["size_gb"] = size / GB
    return entry


def _size(loaded: LoadedConfig, model: str, names: Iterable[str]) -> int | None:
    """Bytes that the model takes as the configuration says, or else those of its weights and its adapters.

    None where one of them is not a local folder of safetensors.
    """
    config = loaded.config
    if config.models[model].device_gb:
        return round(config.models[model].device_gb * GIB)
    sources = [config.models[model].source, *(config.experts[name].adapter for name in names)]
    folders = [source.removeprefix(PATH_SCHEME) for source in sources if source and source.startswith(PATH_SCHEME)]
    if len(folders) < sum(source is not None for source in sources):
        return None
    base, *adapters = (model_folder(loaded.path(folder)) for folder in folders)
    sizes = [weight_bytes(base, config.models[model].dtype), *(weight_bytes(adapter) for adapter in adapters)]
    return sum(size for size in sizes if size is not None) if None not in sizes else None


def _worker(worker: WorkerConfig) -> Raw:
    """The devices of a worker are one: its memory is counted together."""
    entry: Raw = {"replicas": worker.replicas, "host_gb": worker.memory.host_gb * GIB / GB}
    if worker.memory.device_gb is not None:
        entry["device_gb"] = worker.memory.device_gb * GIB / GB
    return entry


def _families(config: Config, placed: Iterable[str]) -> Iterator[Raw]:
    """Models of one family take turns in one engine."""
    families: dict[str, list[str]] = {}
    for model in placed:
        if family := config.models[model].family:
            families.setdefault(family, []).append(model)
    for models in families.values():
        yield {"experts": models}


def _exclusive(config: Config) -> Iterator[Raw]:
    for group, worker in config.workers.items():
        for models in worker.memory.exclusive:
            yield {"experts": models, "workers": [group]}


def _section(tree: Raw, *keys: str) -> Raw:
    for key in keys:
        below = tree.get(key)
        tree = below if isinstance(below, dict) else {}
    return tree


def _merged(below: Raw, above: Raw) -> Raw:
    """`above` laid over `below`, mapping by mapping."""
    merged = dict(below)
    for key, value in above.items():
        here = below.get(key)
        merged[key] = _merged(here, value) if isinstance(here, dict) and isinstance(value, dict) else value
    return merged


def _refuse_unknown(where: str, names: Iterable[str], known: Iterable[str]) -> None:
    if unknown := sorted(set(names) - set(known)):
        raise InputError(f"{where} names {', '.join(unknown)}; the configuration has {', '.join(known)}.")
