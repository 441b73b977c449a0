import asyncio

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from workers.admission import Admission
from workers.errors import QueueFullError, QueueTimeoutError


class AdmissionMachine(RuleBasedStateMachine):
    """Requests come, end and are cancelled in any order; a plain model says who must run and who must wait."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.admission = Admission("e", max_running=2, max_queued=3, queue_timeout_s=3600)
        self.entered: list[int] = []  # in the order in which they were let in
        self.arrived: list[int] = []  # in the order in which they came and were not refused
        self.running: dict[int, asyncio.Event] = {}
        self.tasks: dict[int, asyncio.Task[None]] = {}
        self.count = 0

    async def request(self, number: int) -> None:
        async with self.admission.slot():
            self.entered.append(number)
            self.running[number] = asyncio.Event()
            try:
                await self.running[number].wait()
            finally:
                del self.running[number]

    def settle(self) -> None:
        async def turns() -> None:
            for _ in range(6):
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    @rule()
    def come(self) -> None:
        self.count += 1
        number = self.count
        full = len(self.tasks) == 5
        task = self.loop.create_task(self.request(number))
        self.settle()
        if full:
            assert isinstance(task.exception(), QueueFullError)
        else:
            self.tasks[number] = task
            self.arrived.append(number)

    @rule(pick=st.integers(0))
    def end(self, pick: int) -> None:
        if self.running:
            number = sorted(self.running)[pick % len(self.running)]
            self.running[number].set()
            self.settle()
            self.tasks.pop(number).result()

    @rule(picks=st.lists(st.integers(0), min_size=1, max_size=3), ending=st.booleans())
    def cancel(self, picks: list[int], ending: bool) -> None:
        """Cancel some; with `ending`, one that runs ends in the same turn of the loop."""
        chosen = {sorted(self.tasks)[pick % len(self.tasks)] for pick in picks} if self.tasks else set()
        if ending and self.running:
            self.running[min(self.running)].set()
            chosen.discard(min(self.running))
        for number in chosen:
            self.tasks[number].cancel()
        self.settle()
        for number in [number for number, task in self.tasks.items() if task.done()]:
            del self.tasks[number]
            if number not in self.entered:
                self.arrived.remove(number)

    @invariant()
    def as_many_run_and_wait_as_there_are(self) -> None:
        assert self.admission.running == len(self.running) == min(2, len(self.tasks))
        assert self.admission.waiting == len(self.tasks) - len(self.running)

    @invariant()
    def first_come_first_served(self) -> None:
        assert self.entered == self.arrived[: len(self.entered)]

    def teardown(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        self.settle()
        assert (self.admission.running, self.admission.waiting) == (0, 0)
        self.loop.close()


TestAdmissionMachine = AdmissionMachine.TestCase
TestAdmissionMachine.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


async def test_a_request_that_waits_too_long_is_refused_and_forgotten() -> None:
    admission = Admission("poet", max_running=1, max_queued=1, queue_timeout_s=0.02)
    async with admission.slot():
        with pytest.raises(QueueTimeoutError, match="expert `poet`") as caught:
            async with admission.slot():
                pass
        assert caught.value.retry_after_s >= 1
        assert admission.waiting == 0
    async with admission.slot():
        assert admission.running == 1


async def test_no_queue_means_that_a_request_is_refused_at_once() -> None:
    admission = Admission("poet", max_running=1, max_queued=0, queue_timeout_s=60)
    async with admission.slot():
        with pytest.raises(QueueFullError):
            async with admission.slot():
                pass


async def test_a_request_that_fails_gives_its_place_back() -> None:
    admission = Admission("poet", max_running=1, max_queued=0, queue_timeout_s=60)
    with pytest.raises(ZeroDivisionError):
        async with admission.slot():
            raise ZeroDivisionError
    assert admission.running == 0
