"""The configuration's models in, their reference for people (Markdown) or editors (JSON schema) out."""

from __future__ import annotations

import json
from collections.abc import Iterator

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from coe.config.models import (
    CacheConfig,
    ClusterConfig,
    Config,
    DecisionLogConfig,
    DriftConfig,
    ExpertConfig,
    LogConfig,
    MemoryConfig,
    ModelConfig,
    PlanConfig,
    RedisConfig,
    ResidentConfig,
    RouterConfig,
    SamplingConfig,
    ServerConfig,
    ShapeConfig,
    TelemetryConfig,
    WorkerConfig,
)

SECTIONS: dict[str, type[BaseModel]] = {
    "server": ServerConfig,
    "router": RouterConfig,
    "router.log": DecisionLogConfig,
    "router.drift": DriftConfig,
    "router.resident": ResidentConfig,
    "models.NAME": ModelConfig,
    "models.NAME.shape": ShapeConfig,
    "experts.NAME": ExpertConfig,
    "experts.NAME.sampling": SamplingConfig,
    "workers.GROUP": WorkerConfig,
    "workers.GROUP.memory": MemoryConfig,
    "plans.NAME": PlanConfig,
    "redis": RedisConfig,
    "cluster": ClusterConfig,
    "cache": CacheConfig,
    "logs": LogConfig,
    "telemetry": TelemetryConfig,
}
HEAD = """# Configuration

One YAML file; `configs/local.yaml` is a complete example, and `configs/schema.json` lets editors complete and check.
An environment variable goes over the file: `COE_SERVER__PORT=9000` sets `server.port`, `__` separates levels.
Paths are relative to the file. Unknown keys are errors. `coe check CONFIG` names every mistake with its line.

This page is generated: `make reference`.
"""


def json_schema() -> str:
    """The JSON schema of the file."""
    return json.dumps(Config.model_json_schema(), indent=2) + "\n"


def markdown() -> str:
    """A table of keys for each section."""
    return "\n".join([HEAD, *(line for path, section in SECTIONS.items() for line in _table(path, section))])


def _table(path: str, section: type[BaseModel]) -> Iterator[str]:
    yield f"## {path}\n"
    yield "| key | default | what |\n| --- | --- | --- |"
    for name, field in section.model_fields.items():
        if f"{path}.{name}" in SECTIONS:
            continue
        description = " ".join((field.description or "").split()).replace("|", "\\|")
        yield f"| `{name}` | {_default(field.get_default(call_default_factory=True))} | {description} |"
    yield ""


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    return "" if value in (None, "", [], {}) else f"`{json.dumps(value)}`"
