"""Configuration in, the plain values out that other packages and processes are given."""

from __future__ import annotations

import hashlib
import math

import orjson

from coe.config.load import LoadedConfig
from coe.config.models import ExpertConfig, MemoryConfig, ModelConfig, SamplingConfig
from coe.runtime import NodePaths
from workers.spec import ExpertSpec, MemorySpec, ModelSpec, Sampling, WorkerSpec

PATH_SCHEME = "path:"
GIB = 2**30


def worker_spec(loaded: LoadedConfig, group: str, paths: NodePaths, *, host: str, token: str) -> WorkerSpec:
    """What a worker of a group is to serve.

    Args:
        loaded: the service's configuration.
        group: key of `workers`.
        paths: of the machine that the worker is on.
        host: its address for the gateways.
        token: secret that its data port demands.
    """
    config = loaded.config
    worker = config.workers[group]
    names = config.experts_of(group)
    models = dict.fromkeys(config.experts[name].model for name in names)
    return WorkerSpec(
        group=group,
        device=worker.device,
        models=tuple(_model_spec(loaded, name, config.models[name]) for name in models),
        experts=tuple(_expert_spec(loaded, name, config.experts[name]) for name in names),
        cache_dir=paths.cache_dir,
        run_dir=paths.run_dir,
        host=host,
        token=token,
        max_running=worker.max_running,
        max_queued=worker.max_queued,
        queue_timeout_s=worker.queue_timeout_s,
        drain_timeout_s=config.server.drain_timeout_s,
        memory=_memory_spec(worker.memory),
    )


def absolute_source(loaded: LoadedConfig, source: str) -> str:
    """A source string whose path, if it is one, no longer depends on the working directory."""
    if not source.startswith(PATH_SCHEME):
        return source
    return f"{PATH_SCHEME}{loaded.path(source.removeprefix(PATH_SCHEME))}"


def expert_fingerprint(loaded: LoadedConfig, name: str) -> str:
    """Digest of everything that defines an expert; answers cached under another definition are not its own."""
    expert = loaded.config.experts[name]
    model = loaded.config.models[expert.model]
    definition = [name, expert.model_dump(mode="json", exclude={"load"}), model.model_dump(mode="json")]
    return hashlib.sha256(orjson.dumps(definition, option=orjson.OPT_SORT_KEYS)).hexdigest()


def _model_spec(loaded: LoadedConfig, name: str, model: ModelConfig) -> ModelSpec:
    return ModelSpec(
        name=name,
        source=absolute_source(loaded, model.source) if model.source else "",
        url=model.url,
        served_name=model.served_name,
        max_model_len=model.max_model_len,
        dtype=model.dtype,
        kv_cache_gb=model.kv_cache_gb,
        gpu_memory_utilization=model.gpu_memory_utilization,
        tensor_parallel=model.tensor_parallel,
        max_num_seqs=model.max_num_seqs,
        max_loras=model.max_loras,
        max_lora_rank=model.max_lora_rank,
        extra_args=tuple(model.engine_args),
        env=tuple(model.engine_env.items()),
        start_timeout_s=model.start_timeout_s,
        family=model.family,
        device_bytes=int(model.device_gb * GIB),
        asleep_bytes=int(model.asleep_gb * GIB),
        idle_s=model.idle_s,
    )


def _memory_spec(memory: MemoryConfig) -> MemorySpec:
    return MemorySpec(
        device_bytes=None if memory.device_gb is None else int(memory.device_gb * GIB),
        host_bytes=int(memory.host_gb * GIB),
        exclusive=tuple(frozenset(models) for models in memory.exclusive),
        preload=tuple(memory.preload),
        sleep=memory.sleep,
        policy=memory.policy,
        quantum_s=memory.quantum_s,
        max_wait_s=memory.max_wait_s,
        swaps_per_minute=memory.swaps_per_minute,
        ahead_from=math.inf if memory.ahead_from is None else memory.ahead_from,
    )


def _expert_spec(loaded: LoadedConfig, name: str, expert: ExpertConfig) -> ExpertSpec:
    return ExpertSpec(
        name=name,
        model=expert.model,
        adapter=absolute_source(loaded, expert.adapter) if expert.adapter else None,
        load=expert.load,
        system=expert.system,
        pinned=expert.pin,
        sampling=_sampling(expert.sampling),
    )


def _sampling(sampling: SamplingConfig) -> Sampling:
    return Sampling(**{**sampling.model_dump(exclude={"stop"}), "stop": tuple(sampling.stop)})
