"""What a worker begins with: which models start, which may leave, and what their memory is."""

from pathlib import Path

from workers.device import UNLIMITED, empty_memory, first_residents, is_movable
from workers.spec import ExpertSpec, MemorySpec, ModelSpec, WorkerSpec

GIB = 2**30


def spec(*models: ModelSpec, memory: MemorySpec, device: str = "cpu") -> WorkerSpec:
    return WorkerSpec(
        group="g",
        device=device,  # type: ignore[arg-type]  # a str
        models=models,
        experts=tuple(ExpertSpec(name=model.name, model=model.name) for model in models),
        cache_dir=Path("cache"),
        run_dir=Path("run"),
        memory=memory,
    )


def model(name: str, *, family: str | None = None, size: int = 1, asleep: int = 0) -> ModelSpec:
    source = f"path:{name}"
    return ModelSpec(name=name, source=source, family=family, device_bytes=size * GIB, asleep_bytes=asleep * GIB)


def test_without_a_limit_every_engine_starts_with_the_first_of_its_family() -> None:
    worker = spec(model("a", family="f"), model("b", family="f"), model("c"), memory=MemorySpec())
    assert first_residents(worker) == {"f": "a", "c": "c"}
    assert empty_memory(worker).device_bytes == UNLIMITED
    assert [is_movable(worker, name) for name in "abc"] == [True, True, False]


def test_what_is_to_be_preloaded_comes_first_and_the_rest_as_far_as_there_is_room() -> None:
    models = (model("a", size=2), model("b", size=2), model("c", size=1))
    worker = spec(*models, memory=MemorySpec(device_bytes=3 * GIB, preload=("b",)))
    assert first_residents(worker) == {"b": "b", "c": "c"}
    assert all(is_movable(worker, name) for name in "abc")


def test_of_an_exclusive_set_one_starts() -> None:
    worker = spec(model("a"), model("b"), model("c"), memory=MemorySpec(exclusive=(frozenset("ab"),)))
    assert first_residents(worker) == {"a": "a", "c": "c"}
    assert [is_movable(worker, name) for name in "abc"] == [True, True, False]


def test_what_sleepers_take_is_kept_for_them_all_the_time() -> None:
    models = (model("a", size=4, asleep=1), model("b", size=4, asleep=1))
    memory = empty_memory(spec(*models, memory=MemorySpec(device_bytes=6 * GIB, sleep=2), device="gpu"))
    assert memory.device_bytes == 4 * GIB
    assert {cost.size for cost in memory.costs.values()} == {3 * GIB}
