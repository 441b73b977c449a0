"""Admission under whatever comes, in any order and in virtual time: its invariants."""

import asyncio
from contextlib import suppress

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.workers.admission_scene import Scene
from tests.workers.virtual_time import VirtualTimeLoop
from workers.errors import (
    AdapterRefusedError,
    AdmissionError,
)
from workers.policies import Cost, Memory


class AdmissionMachine(RuleBasedStateMachine):
    """Requests come, end and are cancelled while loads fail and the device loses everything, in any order.

    The scripted device checks at each change that budgets hold, that changes do not overlap and that nothing runs on
    what leaves; the invariants, that nothing runs on what is not resident; the end, that nobody waits for ever.
    """

    policy = "default"

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualTimeLoop()
        costs = {
            name: Cost(size=size, load_s={"host": 0.5 * size, "disk": 2.0 * size})
            for name, size in {"a": 2, "b": 2, "c": 1, "d": 3}.items()
        }
        self.memory = Memory(costs=costs, device_bytes=4, host_bytes=4, groups=(frozenset("ac"),))
        self.scene = self.loop.run_until_complete(self.make())
        self.scene.mechanism.sleepers = frozenset("bd")
        self.endings: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.inside: dict[int, str] = {}
        self.count = 0

    async def make(self) -> Scene:
        return Scene(self.memory, policy=self.policy)

    async def request(self, number: int, expert: str) -> None:
        with suppress(AdmissionError):
            async with self.scene.admission.slot(expert):
                self.inside[number] = expert
                try:
                    await self.endings[number].wait()
                finally:
                    del self.inside[number]

    def settle(self, seconds: float = 0.0) -> None:
        async def turns() -> None:
            await asyncio.sleep(seconds)
            for _ in range(8):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())
        for number in [number for number, task in self.tasks.items() if task.done()]:
            task = self.tasks.pop(number)
            if not task.cancelled():
                task.result()

    @rule(expert=st.sampled_from(["a", "a2", "b", "c", "d"]), times=st.integers(1, 3))
    def come(self, expert: str, times: int) -> None:
        for _ in range(times):
            self.count += 1
            self.endings[self.count] = asyncio.Event()
            self.tasks[self.count] = self.loop.create_task(self.request(self.count, expert))
        self.settle()

    @rule(expert=st.sampled_from(["a", "a2", "b", "c", "d"]), probability=st.sampled_from([0.0, 0.5, 1.0]))
    def announce(self, expert: str, probability: float) -> None:
        async def announced() -> None:
            self.scene.admission.expect(expert, probability)

        self.loop.run_until_complete(announced())
        self.settle()

    @rule(pick=st.integers(0), more=st.booleans())
    def end(self, pick: int, more: bool) -> None:
        if self.inside:
            number = sorted(self.inside)[pick % len(self.inside)]
            self.endings[number].set()
        if not more:
            self.settle()

    @rule(picks=st.lists(st.integers(0), min_size=1, max_size=3))
    def cancel(self, picks: list[int]) -> None:
        for pick in picks:
            if self.tasks:
                self.tasks[sorted(self.tasks)[pick % len(self.tasks)]].cancel()
        self.settle()

    @rule(seconds=st.sampled_from([0.3, 1.0, 5.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.settle(seconds)

    @rule(dies=st.booleans())
    def next_load_fails(self, dies: bool) -> None:
        if dies:
            self.scene.mechanism.dies = True
        else:
            self.scene.mechanism.fails = AdapterRefusedError("scripted")

    @rule()
    def device_loses_everything(self) -> None:
        if not self.scene.mechanism.busy:
            for number in list(self.inside):  # their streams break
                self.endings[number].set()
            self.scene.mechanism.truth.clear()
            self.scene.mechanism.held.clear()
            self.scene.residency.sync()
            self.settle()

    @rule(name=st.sampled_from("abcd"))
    def put_away(self, name: str) -> None:
        self.tasks[-self.count - 1] = self.loop.create_task(self.put(name))
        self.count += 1
        self.settle()

    async def put(self, name: str) -> None:
        await self.scene.admission.put_away(name)

    @invariant()
    def nothing_runs_on_what_is_not_resident(self) -> None:
        models = {expert[0] for expert in self.inside.values()}
        assert models <= self.scene.mechanism.truth
        assert self.memory.running.keys() == models

    @invariant()
    def counts_are_those_of_the_requests(self) -> None:
        admission = self.scene.admission
        for expert in ("a", "a2", "b", "c", "d"):
            assert admission.running(expert) == list(self.inside.values()).count(expert) <= 2
            assert admission.running(expert) + admission.waiting(expert) <= 5
        assert all(self.memory.queues.values())

    def teardown(self) -> None:
        for _ in range(200):
            for number in list(self.inside):
                self.endings[number].set()
            self.settle(5.0)
            if not self.tasks:
                break
        assert not self.tasks, "somebody waits for ever"
        self.loop.run_until_complete(self.scene.admission.close())
        self.loop.close()


class FcfsAdmissionMachine(AdmissionMachine):
    policy = "fcfs-lru"


TestAdmission = AdmissionMachine.TestCase
TestAdmission.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestFcfsAdmission = FcfsAdmissionMachine.TestCase
TestFcfsAdmission.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
