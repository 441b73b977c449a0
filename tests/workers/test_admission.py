"""Who is let in, who waits and who is refused, on a scripted device and in virtual time."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from tests.workers.admission_scene import LOAD_S, Scene, memory
from tests.workers.virtual_time import VirtualTimeLoop
from workers.admission import Turn
from workers.errors import (
    AdapterRefusedError,
    EngineAwayError,
    EngineError,
    NotResidentError,
    QueueFullError,
    QueueTimeoutError,
    WorkerError,
)
from workers.hosted_expert import HostedExpert
from workers.pins import Pins
from workers.port.serving import Serving, current_request
from workers.spec import ExpertSpec

Run = Callable[[Coroutine[Any, Any, None]], None]


def expert_of(scene: Scene, name: str) -> HostedExpert:
    """The expert over an engine that is there."""

    async def pin(_: ExpertSpec) -> None:
        """It has no adapters."""

    engine: Any = SimpleNamespace(require_reachable=lambda: None, pin=pin)
    return HostedExpert(
        spec=ExpertSpec(name=name, model=name),
        host=engine,
        admission=scene.admission,
        residency=scene.residency,
        pins=Pins(scene.residency.memory, {name: name}),
        movable=True,
    )


@pytest.fixture
def run() -> Iterator[Run]:
    loop = VirtualTimeLoop()
    yield loop.run_until_complete
    loop.close()


def test_a_request_to_what_is_resident_does_not_wait(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        assert await scene.request("a") == Turn()
        assert asyncio.get_running_loop().time() == 1.0

    run(scene())


def test_a_request_to_other_weights_waits_for_them_and_says_how_long(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        turn = await scene.request("b")
        assert turn.swap_s == pytest.approx(LOAD_S["disk"], abs=1)
        assert scene.mechanism.swaps == [("b", ("a",), "disk")]
        report = scene.residency.reports[-1]
        assert (report.model, report.evicted, report.tier, report.number) == ("b", ("a",), "disk", 1)
        assert turn.swap == report

    run(scene())


def test_a_request_is_told_of_the_swap_that_it_waited_for_and_of_no_other(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a", max_running=1)
        together = [asyncio.create_task(scene.request("b")) for _ in range(2)]
        turns = [await turn for turn in together]
        assert [turn.swap and turn.swap.number for turn in turns] == [1, 1]
        running = asyncio.create_task(scene.request("b"))
        queued = asyncio.create_task(scene.request("b"))
        assert [(await turn).swap for turn in (running, queued)] == [None, None]

    run(scene())


def test_a_request_whose_weights_could_not_be_brought_is_told_of_the_attempt(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        scene.mechanism.fails = AdapterRefusedError("torn")
        with pytest.raises(NotResidentError) as refused:
            await scene.request("b")
        swap = refused.value.swap
        assert swap is not None
        assert (swap.model, swap.error) == ("b", "torn")

    run(scene())


def test_a_swap_is_the_work_of_no_request(run: Run) -> None:
    """Whoever's coming or going set it off: lines that it logs are not to carry one's id."""

    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        seen: list[object] = []
        bring = scene.mechanism.swap

        async def swap(*args: Any, **more: Any) -> Any:
            seen.append(current_request())
            return await bring(*args, **more)

        scene.mechanism.swap = swap  # type: ignore[method-assign]  # the test's own eyes
        Serving.begin({"x-request-id": "r-1"})
        await scene.request("b")
        assert seen == [None]

    run(scene())


def test_what_runs_ends_before_its_weights_leave(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        first = asyncio.create_task(scene.request("a", 20))
        await asyncio.sleep(0)
        await scene.request("b")
        assert first.done()
        assert asyncio.get_running_loop().time() >= 20 + LOAD_S["disk"]

    run(scene())


def test_a_copy_in_host_memory_makes_the_next_swap_quick(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(host=2), resident="a", policy="fcfs-lru")  # which copies nothing ahead
        for expert in "bab":
            await scene.request(expert)
        assert [tier for _, _, tier in scene.mechanism.swaps] == ["disk", "disk", "host"]

    run(scene())


@pytest.mark.parametrize("fetch_s", [0.5, 5.0])
def test_a_request_waits_for_a_copy_to_come_and_no_longer(run: Run, fetch_s: float) -> None:
    async def scene() -> None:
        scene = Scene(memory(host=3), resident="a")
        scene.mechanism.fetch_s = fetch_s
        turn = await scene.request("b")
        assert scene.mechanism.swaps == [("b", ("a",), "host")]
        assert turn.swap_s == pytest.approx(fetch_s + LOAD_S["host"], abs=0.1)

    run(scene())


def test_nobody_waits_for_a_copy_that_cannot_be_made(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(host=3), resident="a")
        scene.mechanism.unfetchable = frozenset("b")
        assert (await scene.request("b")).swap_s == pytest.approx(LOAD_S["disk"], abs=0.1)

    run(scene())


@pytest.mark.parametrize("error", [EngineAwayError("it ended"), AdapterRefusedError("no memory is left for it")])
def test_what_cannot_be_copied_to_host_memory_is_loaded_from_disk(run: Run, error: WorkerError) -> None:
    async def scene() -> None:
        scene = Scene(memory(host=3), resident="a")
        scene.mechanism.fetch_fails = error
        assert (await scene.request("b")).swap_s == pytest.approx(LOAD_S["disk"], abs=0.1)
        assert scene.residency.failure("b") is None

    run(scene())


def test_what_is_about_to_leave_takes_no_new_requests(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a", policy="fcfs-lru")
        order: list[str] = []

        async def request(expert: str) -> None:
            await scene.request(expert, 5)
            order.append(expert)

        requests = []
        for expert in "aba":
            requests.append(asyncio.create_task(request(expert)))
            await asyncio.sleep(0)
        await asyncio.gather(*requests)
        assert order == ["a", "b", "a"]

    run(scene())


def test_experts_of_one_model_share_its_place(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        assert (await scene.request("a2")).swap_s == 0
        assert not scene.mechanism.swaps

    run(scene())


def test_a_full_expert_does_not_hold_up_the_others(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(fit=2), resident="ab")
        slow = [asyncio.create_task(scene.request("a", 50)) for _ in range(4)]
        await asyncio.sleep(0)
        assert (scene.admission.running("a"), scene.admission.waiting("a")) == (2, 2)
        await scene.request("b")
        await scene.request("a2")
        assert asyncio.get_running_loop().time() < 10
        await asyncio.gather(*slow)

    run(scene())


def test_one_more_than_may_wait_is_refused_with_the_time_to_come_back(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        others = [asyncio.create_task(scene.request("a", 30)) for _ in range(5)]
        await asyncio.sleep(0)
        with pytest.raises(QueueFullError, match="2 requests run and 3 wait") as refused:
            await scene.request("a")
        assert refused.value.retry_after_s >= 1
        await asyncio.gather(*others)

    run(scene())


def test_who_waits_too_long_is_told_so_and_leaves_the_queue(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a", queue_timeout_s=5)
        running = [asyncio.create_task(scene.request("a", 30)) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(QueueTimeoutError, match="waited 5 s"):
            await scene.request("a")
        assert scene.admission.waiting("a") == 0
        await asyncio.gather(*running)

    run(scene())


def test_weights_that_cannot_come_are_told_to_who_waits_and_not_tried_again_at_once(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        scene.mechanism.fails = AdapterRefusedError("the checkpoint is torn")
        with pytest.raises(NotResidentError, match="the checkpoint is torn"):
            await scene.request("b")
        failure = scene.residency.failure("b")
        assert failure is not None
        assert str(failure.error) == "the checkpoint is torn"
        await asyncio.sleep(10)
        assert scene.residency.failure("b") is None
        await scene.request("b")

    run(scene())


def test_what_is_put_away_comes_back_for_a_request(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        running = asyncio.create_task(scene.request("a", 5))
        await asyncio.sleep(0)
        assert await scene.admission.put_away("a")
        assert running.done()
        assert not scene.mechanism.truth
        assert not await scene.admission.put_away("a")
        await scene.request("a")
        assert scene.mechanism.truth == {"a"}

    run(scene())


def test_what_cannot_be_put_away_for_whatever_reason_is_told_as_an_engines_error(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        scene.mechanism.evict_fails = ZeroDivisionError("nobody foresaw it")
        with pytest.raises(EngineError, match="nobody foresaw it"):
            await scene.admission.put_away("a")
        await scene.request("a")

    run(scene())


@pytest.mark.parametrize("policy", ["default", "fcfs-lru"])
def test_what_is_pinned_while_others_wait_for_its_place_stays(run: Run, policy: str) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a", policy=policy)
        pinning = asyncio.create_task(expert_of(scene, "b").pin())
        await asyncio.sleep(1)
        waiting = asyncio.create_task(scene.request("c"))
        assert await pinning
        await asyncio.sleep(100)
        assert list(scene.memory.resident) == ["b"]
        waiting.cancel()

    run(scene())


def test_what_could_not_come_is_not_pinned(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        scene.mechanism.fails = AdapterRefusedError("it is broken")
        with pytest.raises(AdapterRefusedError):
            await expert_of(scene, "b").pin()
        assert scene.memory.pinned == set()

    run(scene())


def test_closing_tells_who_waits(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        waiting = asyncio.create_task(scene.request("b"))
        await asyncio.sleep(1)
        await scene.admission.close()
        with pytest.raises(NotResidentError, match="was stopped"):
            await waiting

    run(scene())


def test_what_was_announced_is_there_when_it_is_asked(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        scene.admission.expect("b", 0.9)
        await asyncio.sleep(10)
        assert await scene.request("b") == Turn()
        assert scene.mechanism.swaps == [("b", ("a",), "disk")]
        assert not scene.memory.expected

    run(scene())


def test_a_request_that_comes_while_what_was_announced_is_loaded_waits_for_the_rest(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        scene.admission.expect("b", 0.9)
        await asyncio.sleep(1)
        turn = await scene.request("b")
        assert turn.swap_s == pytest.approx(LOAD_S["disk"] - 1)
        assert len(scene.mechanism.swaps) == 1

    run(scene())


def test_an_announcement_that_nobody_follows_moves_one_model_and_no_more(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        scene.admission.expect("b", 0.9)
        await asyncio.sleep(10)
        await scene.request("a")
        await asyncio.sleep(100)
        assert [name for name, _, _ in scene.mechanism.swaps].count("b") <= 2
        assert len(scene.mechanism.swaps) <= 3
        scene.admission.expect("c", 0.2)  # not likely enough to take a place
        await asyncio.sleep(10)
        assert "c" not in scene.memory.resident

    run(scene())


def test_an_announced_model_that_cannot_be_loaded_is_tried_once_and_then_left_to_its_request(run: Run) -> None:
    async def scene() -> None:
        scene = Scene(memory(), resident="a")
        scene.mechanism.fails = AdapterRefusedError("scripted")
        scene.admission.expect("b", 0.9)
        await asyncio.sleep(200)
        assert [report.model for report in scene.residency.reports] == ["b"]
        assert (await scene.request("a")).swap_s  # it had left for b

    run(scene())
