"""What a worker is told to serve: settings of experts, of the models below them and of itself, as plain values.

Only that names agree is checked here; every other value is judged where it is used.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal, TypeAlias

from workers.errors import SpecError

Device: TypeAlias = Literal["cpu", "gpu"]
LoadTime: TypeAlias = Literal["start", "request"]
SleepLevel: TypeAlias = Literal[1, 2]
SamplingValue: TypeAlias = float | int | list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """Sampling defaults of an expert, used where a request does not say. None: the engine's own default."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    max_tokens: int | None = None
    repetition_penalty: float | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None

    def as_request(self) -> dict[str, SamplingValue]:
        """The fields that are set, named and shaped as in an OpenAI request."""
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "stop"}
        request: dict[str, SamplingValue] = {name: value for name, value in values.items() if value is not None}
        if self.stop:
            request["stop"] = list(self.stop)
        return request


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """A base model and the engine that serves it.

    `source` is read by `workers.sources.resolution`. With `url` no engine is started: the OpenAI server there is asked
    for `served_name` (default: `name`), and the engine settings have no effect. None means the engine's own default.
    Models of one `family` share an engine, whose weights are replaced in place. `device_bytes` is what the engine takes
    of the device in all, `asleep_bytes` what it still takes while it sleeps, and `idle_s` how long it stays there
    unused; None: for ever.
    """

    name: str
    source: str = ""
    url: str | None = None
    served_name: str | None = None
    max_model_len: int | None = None
    dtype: str = "auto"
    kv_cache_gb: int = 1  # GiB, CPU only; vLLM takes whole ones
    gpu_memory_utilization: float | None = None
    tensor_parallel: int = 1
    max_num_seqs: int | None = None
    max_loras: int | None = None
    max_lora_rank: int | None = None
    extra_args: tuple[str, ...] = ()
    env: tuple[tuple[str, str], ...] = ()
    start_timeout_s: float = 600.0
    family: str | None = None
    device_bytes: int = 0
    asleep_bytes: int = 0
    idle_s: float | None = None

    @property
    def base_name(self) -> str:
        """The name under which the engine answers for the model without an adapter."""
        return self.served_name or self.name

    @property
    def engine(self) -> str:
        """The name of the engine that it shares with its family, or has alone."""
        return self.family or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpertSpec:
    """A model, an adapter or none, a system prompt or none, and sampling defaults, under one name.

    `load`: when the adapter goes into the engine, at its start or at a request for it. `pinned`: once resident, its
    model stays so, and once loaded, its adapter.
    """

    name: str
    model: str
    adapter: str | None = None
    load: LoadTime = "start"
    system: str | None = None
    sampling: Sampling = Sampling()
    pinned: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySpec:
    """What weights may take of a worker's memory, and how they come and go.

    `device_bytes` and `host_bytes` are for what is resident and for copies in host memory; None: without limit. Of each
    set of models in `exclusive` at most one is resident. `preload` names the models that are resident first. Engines
    that make room on a GPU sleep as deep as `sleep` says (see `workers.engine.sleep`); None: they end. The rest are the
    policy's: see `workers.policies`.
    """

    device_bytes: int | None = None
    host_bytes: int = 0
    exclusive: tuple[frozenset[str], ...] = ()
    preload: tuple[str, ...] = ()
    sleep: SleepLevel | None = None
    policy: str = "default"
    quantum_s: float | None = None
    max_wait_s: float | None = None
    swaps_per_minute: int | None = None
    ahead_from: float = 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSpec:
    """Everything a worker serves and how. Raises `SpecError` where names are repeated or unknown.

    `run_dir` holds sockets, locks and counters; `host` is the address the data port binds and advertises;
    `token` is demanded in the header `x-coe-token`. `max_running` and `max_queued` count requests of one expert.
    """

    group: str
    device: Device
    models: tuple[ModelSpec, ...]
    experts: tuple[ExpertSpec, ...]
    cache_dir: Path
    run_dir: Path
    host: str = "127.0.0.1"
    token: str | None = None
    max_running: int = 16
    max_queued: int = 64
    queue_timeout_s: float = 60.0
    drain_timeout_s: float = 30.0
    memory: MemorySpec = MemorySpec()

    @property
    def families(self) -> Mapping[str, tuple[ModelSpec, ...]]:
        """The models of each engine, by the engine's name."""
        found: dict[str, tuple[ModelSpec, ...]] = {}
        for model in self.models:
            found[model.engine] = (*found.get(model.engine, ()), model)
        return found

    def __post_init__(self) -> None:
        if self.memory.sleep and self.device != "gpu":
            raise SpecError("engines on a CPU cannot sleep: leave `memory.sleep` out, and they end and start instead")
        models = {model.name: model for model in self.models}
        shared = {model.name for members in self.families.values() if len(members) > 1 for model in members}
        _refuse_repeated("model", (model.name for model in self.models))
        _refuse_repeated("expert", (expert.name for expert in self.experts))
        for model in self.models:
            if not model.source and not model.url:
                raise SpecError(f"model `{model.name}` has neither a `source` nor a `url`: give it one of them")
        for members in self.families.values():
            _refuse_unequal(members)
        for expert in self.experts:
            if expert.model not in models:
                known = ", ".join(f"`{name}`" for name in models) or "none"
                raise SpecError(f"expert `{expert.name}` names the unknown model `{expert.model}`; known: {known}")
            if expert.adapter and models[expert.model].url:
                raise SpecError(
                    f"expert `{expert.name}` has an `adapter`, but model `{expert.model}` has a `url`: load it in "
                    "that server and name it by the model's `served_name`"
                )
            if expert.adapter and expert.model in shared:
                raise SpecError(
                    f"expert `{expert.name}` has an `adapter`, but the weights of model `{expert.model}` come and go "
                    f"with its family `{models[expert.model].family}`: merge the adapter into a model of its own, or "
                    "give the expert a model without a family"
                )
            if expert.adapter and expert.name == models[expert.model].base_name:
                raise SpecError(
                    f"expert `{expert.name}` has an adapter and the name its model is served by: rename one of them"
                )


def _refuse_unequal(members: tuple[ModelSpec, ...]) -> None:
    """Models of one family are served by one engine, so all but their names, sources and idle times must be equal."""
    first, *others = (replace(member, name="", source="", idle_s=None, served_name=None) for member in members)
    for member, other in zip(members[1:], others, strict=True):
        if len(members) > 1 and member.url:
            raise SpecError(f"model `{member.name}` has a `url` and a `family`: give it one of them")
        if unequal := [
            field.name for field in fields(other) if getattr(other, field.name) != getattr(first, field.name)
        ]:
            raise SpecError(
                f"models `{members[0].name}` and `{member.name}` are of one family and share an engine, but differ in "
                f"{', '.join(f'`{name}`' for name in unequal)}: make them equal"
            )


def _refuse_repeated(kind: str, names: Iterable[str]) -> None:
    repeated = [name for name, count in Counter(names).items() if count > 1]
    if repeated:
        raise SpecError(f"{kind} names must differ, but these are repeated: {', '.join(repeated)}")
