"""A service's configuration as worker groups on GPUs: a configuration goes in, what `plan_memory` counts comes out.

How large a model is, its `shape` says, or else its checkpoint where that is a local folder.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ValidationError

from coe.config.load import LoadedConfig
from coe.config.models import ModelConfig, WorkerConfig
from coe.config.problem import Problem
from coe.config.specs import GIB, PATH_SCHEME
from coe.errors import InputError
from workers.placement.gpus import Engine, Group, Shape
from workers.placement.sizes import weight_bytes
from workers.sources.resolution import model_folder

BILLION = 10**9
CONFIG_FILE = "config.json"


class _ModelFile(BaseModel):
    """What counts here of a checkpoint's `config.json`."""

    num_hidden_layers: int
    num_attention_heads: int
    hidden_size: int
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    max_position_embeddings: int


def gpu_groups(loaded: LoadedConfig) -> list[Group]:
    """The worker groups of `loaded` that start engines on GPUs, in the order of the file.

    Raises:
        ConfigError: with a line for each model of which it is not known how large it is.
        InputError: there is no such group.
        SourceError: a local checkpoint is missing or damaged.
    """
    problems: list[Problem] = []
    groups = [
        Group(name=name, engines=engines, replicas=worker.replicas, limit=_limit(worker))
        for name, worker in loaded.config.workers.items()
        if worker.device == "gpu" and (engines := _engines(loaded, name, problems))
    ]
    if problems:
        raise loaded.error(problems)
    if not groups:
        raise InputError(f"{loaded.raw.path}: no worker group with `device: gpu` starts an engine.")
    return groups


def _limit(worker: WorkerConfig) -> int | None:
    return None if worker.memory.device_gb is None else round(worker.memory.device_gb * GIB)


def _engines(loaded: LoadedConfig, group: str, problems: list[Problem]) -> tuple[Engine, ...]:
    """One for each model, or for each family of models."""
    config = loaded.config
    engines: dict[str, Engine] = {}
    for name in dict.fromkeys(config.experts[expert].model for expert in config.experts_of(group)):
        model = config.models[name]
        if model.url or (model.family and model.family in engines):
            continue
        measured = _measured(loaded, model)
        shape = _configured(model) or (measured[0] if measured else None)
        context = model.max_model_len or (measured[1] if measured else None)
        if shape is None:
            problems.append(Problem(("models", name, "shape"), "set it: no local checkpoint tells how large it is."))
        elif context is None:
            problems.append(Problem(("models", name, "max_model_len"), "set it: how long requests may be decides."))
        else:
            engines[model.family or name] = Engine(
                model=name,
                shape=shape,
                gpus=model.tensor_parallel,
                utilization=model.gpu_memory_utilization,
                context=context,
                declared=round(model.device_gb * GIB),
            )
    return tuple(engines.values())


def _configured(model: ModelConfig) -> Shape | None:
    shape = model.shape
    if shape is None:
        return None
    bits = 32 if model.dtype == "float32" else shape.bits
    return Shape(
        weight_bytes=round(shape.params_b * BILLION * bits / 8),
        layers=shape.layers,
        kv_heads=shape.kv_heads,
        head_dim=shape.head_dim,
    )


def _measured(loaded: LoadedConfig, model: ModelConfig) -> tuple[Shape, int] | None:
    """The shape of a local checkpoint and its longest context; None where there is none, or of an unknown form."""
    if not (model.source or "").startswith(PATH_SCHEME):
        return None
    folder = model_folder(loaded.path(str(model.source).removeprefix(PATH_SCHEME)))
    told = _model_file(folder / CONFIG_FILE)
    size = weight_bytes(folder, model.dtype)
    if told is None or size is None:
        return None
    shape = Shape(
        weight_bytes=size,
        layers=told.num_hidden_layers,
        kv_heads=told.num_key_value_heads or told.num_attention_heads,
        head_dim=told.head_dim or told.hidden_size // told.num_attention_heads,
    )
    return shape, told.max_position_embeddings


def _model_file(file: Path) -> _ModelFile | None:
    try:
        return _ModelFile.model_validate_json(file.read_bytes())
    except (OSError, ValidationError):
        return None
