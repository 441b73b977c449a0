"""A validated configuration in, its names that lead nowhere out. Looks at no file."""

from __future__ import annotations

from collections.abc import Iterator

from coe.config.memory import memory_problems
from coe.config.models import Config, ModelConfig
from coe.config.plans import plan_problems
from coe.config.problem import Problem, unknown_name

RESERVED_NAMES = {"coe": "the routed model", "null": "an answer that no expert gave"}
"""What no expert may be called."""


def find_broken_references(config: Config) -> list[Problem]:
    """Names of models, experts and groups that the configuration uses and does not define."""
    return list(_problems(config))


def _problems(config: Config) -> Iterator[Problem]:
    yield from _model_problems(config)
    yield from _expert_problems(config)
    yield from _router_problems(config)
    for group, worker in config.workers.items():
        names = worker.experts or []
        for index, name in enumerate(names):
            if name not in config.experts:
                yield Problem(("workers", group, "experts", index), unknown_name("expert", name, config.experts))
            if name in names[:index]:
                yield Problem(("workers", group, "experts", index), f"`{name}` is already in this list; name it once.")
    yield from _cluster_problems(config)
    yield from memory_problems(config)
    yield from plan_problems(config)


def _cluster_problems(config: Config) -> Iterator[Problem]:
    if config.cluster is not None and (config.redis.url is None or config.redis.url.startswith("unix:")):
        yield Problem(("redis", "url"), "a cluster needs a Redis that all its machines reach: `redis://HOST:PORT/DB`.")


def _model_problems(config: Config) -> Iterator[Problem]:
    for name, model in config.models.items():
        if (model.source is None) == (model.url is None):
            yield Problem(
                ("models", name), "set exactly one of `source` (weights to load) and `url` (a running server)."
            )
        if model.url is not None and model.served_name is None:
            yield Problem(("models", name, "url"), "set `served_name` too, the model name that this server knows.")


def _expert_problems(config: Config) -> Iterator[Problem]:
    held = {expert for group in config.workers for expert in config.experts_of(group)}
    for name, expert in config.experts.items():
        if name in RESERVED_NAMES:
            yield Problem(("experts", name), f"`{name}` is the name of {RESERVED_NAMES[name]}; choose another.")
        if expert.model not in config.models:
            yield Problem(("experts", name, "model"), unknown_name("model", expert.model, config.models))
        elif expert.adapter is not None:
            yield from _adapter_problems(name, expert.model, config.models[expert.model])
        if expert.load == "request" and expert.adapter is None:
            yield Problem(("experts", name, "load"), "it has no `adapter` that could be loaded later; remove this key.")
        if expert.load == "request" and name == config.router.general:
            yield Problem(("experts", name, "load"), "the general expert must be there from the start; set `start`.")
        if name not in held:
            yield Problem(("experts", name), "no worker group holds this expert; add it to `workers.*.experts`.")


def _adapter_problems(name: str, model_name: str, model: ModelConfig) -> Iterator[Problem]:
    place = ("experts", name, "adapter")
    if model.url is not None:
        yield Problem(place, "its model is a running server; load the adapter there and name it by `served_name`.")
    elif name == (model.served_name or model_name):
        yield Problem(place, f"the engine knows the model by the name `{name}`; give the expert or the model another.")


def _router_problems(config: Config) -> Iterator[Problem]:
    for category, expert in config.router.map.items():
        if expert not in config.experts:
            yield Problem(("router", "map", category), unknown_name("expert", expert, config.experts))
    if config.router.general not in config.experts:
        yield Problem(("router", "general"), unknown_name("expert", config.router.general, config.experts))
