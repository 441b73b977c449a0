"""A validated configuration in, what contradicts itself in its families and in its workers' memory out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from coe.config.models import Config, ModelConfig, WorkerConfig
from coe.config.problem import Problem
from coe.config.source import Location

OWN_KEYS = frozenset({"source", "idle_s", "active_params_b", "shape"})
"""What models of one family need not have in common."""


def memory_problems(config: Config) -> Iterator[Problem]:
    """Families whose members cannot share an engine, and budgets that cannot hold."""
    yield from _family_problems(config)
    for group, worker in config.workers.items():
        names = [name for name in config.experts_of(group) if name in config.experts]
        models = list(dict.fromkeys(config.experts[name].model for name in names))
        yield from _budget_problems(config, group, worker, [name for name in models if name in config.models])
        yield from _name_problems(group, worker, models)
        yield from _sleep_problems(config, group, worker, [name for name in models if name in config.models])


def _family_problems(config: Config) -> Iterator[Problem]:
    families: dict[str, list[str]] = {}
    for name, model in config.models.items():
        if model.family:
            families.setdefault(model.family, []).append(name)
    for family, members in families.items():
        if family in config.models:
            yield Problem(
                ("models", family), f"a family has this name, too; call it or the family `{family}` otherwise."
            )
        first = members[0]
        for name in members:
            place = ("models", name, "family")
            if config.models[name].url:
                yield Problem(place, "a running server (`url`) keeps its own weights; remove this key.")
            if unequal := _unequal(config.models[first], config.models[name]):
                yield Problem(
                    place, f"it shares its engine with `{first}` and differs in {', '.join(unequal)}; make them equal."
                )
        for name, expert in config.experts.items():
            if len(members) > 1 and expert.adapter and expert.model in members:
                yield Problem(
                    ("experts", name, "adapter"),
                    f"the weights of `{expert.model}` come and go with its family; merge the adapter into a model "
                    "of its own, or give the expert a model without a family.",
                )


def _unequal(first: ModelConfig, other: ModelConfig) -> list[str]:
    keys = [key for key in ModelConfig.model_fields if key not in OWN_KEYS]
    return [f"`{key}`" for key in keys if getattr(first, key) != getattr(other, key)]


def _sleep_problems(config: Config, group: str, worker: WorkerConfig, models: Sequence[str]) -> Iterator[Problem]:
    if worker.memory.sleep and worker.device == "cpu":
        yield Problem(
            ("workers", group, "memory", "sleep"),
            "engines on a CPU cannot sleep; remove this key, and they end and start instead.",
        )
    if worker.memory.sleep == 1 and not worker.memory.host_gb:
        yield Problem(
            ("workers", group, "memory", "sleep"),
            "level 1 keeps weights in host memory: set `host_gb`, or use level 2.",
        )
    for name in models:
        if config.models[name].asleep_gb > config.models[name].device_gb:
            yield Problem(("models", name, "asleep_gb"), "it is more than `device_gb`, all that the engine takes.")


def _budget_problems(config: Config, group: str, worker: WorkerConfig, models: Sequence[str]) -> Iterator[Problem]:
    budget = worker.memory.device_gb
    if budget is None:
        return
    for name in models:
        model, place = config.models[name], ("models", name, "device_gb")
        if model.url:
            continue
        if not model.device_gb:
            yield Problem(place, f"set it: worker `{group}` holds the model and has a limit, `memory.device_gb`.")
        elif model.device_gb > budget:
            yield Problem(place, f"it is more than the {budget:g} GiB of worker `{group}` (`memory.device_gb`).")
    pinned = {expert.model for expert in config.experts.values() if expert.pin and expert.model in models}
    taken = sum(config.models[name].device_gb for name in pinned)
    if taken > budget:
        yield Problem(
            ("workers", group, "memory", "device_gb"),
            f"what is pinned takes {taken:g} GiB, which is more; raise it or remove a `pin`.",
        )


def _name_problems(group: str, worker: WorkerConfig, models: Sequence[str]) -> Iterator[Problem]:
    named: list[tuple[Location, str]] = [(("preload", index), name) for index, name in enumerate(worker.memory.preload)]
    for number, rivals in enumerate(worker.memory.exclusive):
        named += [(("exclusive", number, index), name) for index, name in enumerate(rivals)]
    for place, name in named:
        if name not in models:
            known = ", ".join(models)
            yield Problem(
                ("workers", group, "memory", *place),
                f"no expert of this worker has the model `{name}`; known: {known}.",
            )
