"""What engines take of each GPU, and who is told of what is over."""

from dataclasses import replace

import pytest

from workers.errors import PlacementError
from workers.placement.gpu_memory import plan_memory
from workers.placement.gpus import GIB, Engine, Group, Machine, Shape

MACHINE = Machine(gpus=2, gpu_bytes=80 * GIB, overhead_bytes=4 * GIB)
SMALL = Shape(weight_bytes=16 * GIB, layers=32, kv_heads=8, head_dim=128)  # 128 KiB a token
LARGE = Shape(weight_bytes=140 * GIB, layers=80, kv_heads=8, head_dim=128)  # 320 KiB a token


def engine(model: str = "small", shape: Shape = SMALL, *, gpus: int = 1, utilization: float = 0.9) -> Engine:
    return Engine(model=model, shape=shape, gpus=gpus, utilization=utilization, context=8192, declared=73 * GIB)


def refusal(*groups: Group, machine: Machine = MACHINE) -> list[str]:
    with pytest.raises(PlacementError) as refused:
        plan_memory(groups, machine)
    return str(refused.value).splitlines()


def test_the_cache_gets_what_weights_and_overhead_leave_of_the_share() -> None:
    (use,) = plan_memory([Group(name="w", engines=(engine(),))], MACHINE).uses
    assert (use.weights, use.overhead, use.cache) == (16 * GIB, 4 * GIB, 52 * GIB)
    assert use.tokens == 52 * GIB // (128 * 1024)
    assert use.requests == pytest.approx(use.tokens / 8192)


def test_an_engine_over_two_gpus_has_half_of_its_weights_and_of_its_cached_heads_on_each() -> None:
    plan = plan_memory([Group(name="w", engines=(engine("large", LARGE, gpus=2, utilization=0.95),))], MACHINE)
    assert [(use.gpu, use.weights, use.cache) for use in plan.uses] == [(gpu, 70 * GIB, 2 * GIB) for gpu in (0, 1)]
    assert {use.tokens for use in plan.uses} == {2 * GIB // (160 * 1024)}


def test_a_gpu_holds_at_least_one_head() -> None:
    one_head = replace(SMALL, kv_heads=1)
    assert one_head.token_bytes(8) == one_head.token_bytes(1)


def test_workers_get_gpus_of_their_own_and_the_rest_is_free() -> None:
    machine = replace(MACHINE, gpus=4)
    plan = plan_memory(
        [Group(name="a", engines=(engine(),), replicas=2), Group(name="b", engines=(engine(),))], machine
    )
    assert [(use.gpu, use.worker) for use in plan.uses] == [(0, "a-0"), (1, "a-1"), (2, "b-0")]
    assert plan.free == 1


def test_one_gpu_fewer_names_the_worker_that_gets_none_and_how_many_are_missing() -> None:
    (line,) = refusal(Group(name="a", engines=(engine(),), replicas=2), Group(name="b", engines=(engine(),)))
    assert line.startswith("worker `b-0` needs 1 GPU and 0 of 2 are left: all workers together need 3, 1 more")


def test_a_longer_context_than_the_cache_holds_says_where_by_how_much_and_how_long_it_may_be() -> None:
    longer = replace(engine(), context=524_288)
    (line,) = refusal(Group(name="w", engines=(longer,)))
    assert "`small` does not fit GPU 0 of worker `w-0`" in line
    assert "64.0 GiB of cache for one request of 524,288 tokens" in line
    assert "12.0 GiB over" in line
    assert "lower `max_model_len` to 425,984 or less" in line
    within = replace(longer, context=425_984)
    assert plan_memory([Group(name="w", engines=(within,))], MACHINE).uses[0].requests == 1


def test_weights_that_do_not_fit_at_all_are_not_helped_by_shorter_requests() -> None:
    (line,) = refusal(Group(name="w", engines=(engine("large", LARGE),)))
    assert "140.0 GiB of weights" in line
    assert "tensor_parallel: 2" in line
    assert "max_model_len" not in line


def test_engines_that_run_at_once_share_a_gpu_only_as_far_as_their_shares_go() -> None:
    halves = Group(name="w", engines=(engine("a", utilization=0.45), engine("b", utilization=0.45)))
    assert [use.model for use in plan_memory([halves], MACHINE).uses] == ["a", "b"]
    (line,) = refusal(Group(name="w", engines=(engine("a"), engine("b"))))
    assert "`a`, `b` run at once on GPU 0 of worker `w-0`: their shares are 64.0 GiB more" in line


def test_engines_that_take_turns_each_have_the_gpu() -> None:
    turns = Group(name="w", engines=(engine("a"), engine("b")), limit=76 * GIB)
    plan = plan_memory([turns], MACHINE)
    assert [(use.gpu, use.model, use.in_turns) for use in plan.uses] == [(0, "a", True), (0, "b", True)]


def test_what_takes_turns_has_to_tell_the_truth() -> None:
    modest = replace(engine("a"), declared=60 * GIB)
    wide = engine("wide", gpus=2)
    assert "`a` takes 72.0 GiB" in refusal(Group(name="w", engines=(modest,), limit=70 * GIB))[0]
    assert "4.0 GiB more than its GPUs have" in refusal(Group(name="w", engines=(engine(),), limit=84 * GIB))[0]
    crowded = refusal(Group(name="w", engines=(engine(), replace(wide, declared=150 * GIB)), limit=150 * GIB))
    assert "`small` takes turns on worker `w-0` with engines over more GPUs" in crowded[0]


def test_everything_that_is_over_is_told_at_once() -> None:
    lines = refusal(
        Group(name="a", engines=(engine("large", LARGE),)),
        Group(name="b", engines=(replace(engine(), context=10**6),)),
        Group(name="c", engines=(engine(),)),
    )
    assert [next(name for name in ("`a-0`", "`b-0`", "`c-0`") if name in line) for line in lines] == [
        "`a-0`",
        "`b-0`",
        "`c-0`",
    ]
