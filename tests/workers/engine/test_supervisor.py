import asyncio

from workers.engine.supervisor import Backoff, Supervisor
from workers.errors import EngineStartError, SourceNotFoundError


class World:
    """A clock that only sleeping moves, and lives that go as scripted: a number of seconds served, or an error."""

    def __init__(self, *script: float | Exception) -> None:
        self.script = list(script)
        self.now = 0.0
        self.starts: list[float] = []
        self.states: list[str] = []
        self.stopped = 0
        self.supervisor = Supervisor(
            "m", self.create, on_change=self.note, backoff=Backoff(), sleep=self.sleep, clock=lambda: self.now
        )

    def note(self) -> None:
        self.states.append(self.supervisor.state)

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)

    def create(self) -> "Life":
        self.starts.append(self.now)
        return Life(self)

    async def play(self) -> None:
        """Let the script run out, then stop."""
        task = asyncio.create_task(self.supervisor.run())
        while self.script:
            assert not task.done(), "nobody starts the next life"
            await asyncio.sleep(0)
        for _ in range(10):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait((task,))
        assert task.cancelled()


class Life:
    pid = 7

    def __init__(self, world: World) -> None:
        self.world = world
        self.serves_s = 0.0

    async def start(self) -> None:
        match self.world.script.pop(0) if self.world.script else 1e9:
            case float(seconds):
                self.serves_s = seconds
            case Exception() as error:
                raise error

    async def wait(self) -> str:
        if self.serves_s >= 1e9:
            await asyncio.Event().wait()
        self.world.now += self.serves_s
        return "the engine ended"

    async def stop(self) -> None:
        self.world.stopped += 1


BAD = EngineStartError("no memory")


async def test_an_engine_that_serves_is_ready_until_it_is_stopped() -> None:
    world = World(1e9)
    await world.play()
    assert world.states == ["ready", "stopped"]
    assert (world.supervisor.restarts, world.supervisor.error, world.stopped) == (0, None, 1)


async def test_an_engine_that_ends_is_started_again() -> None:
    world = World(100.0, 1e9)
    await world.play()
    assert world.states == ["ready", "backoff", "starting", "ready", "stopped"]
    assert world.supervisor.restarts == 1
    assert world.stopped == 2


async def test_the_waits_double_and_start_anew_after_a_good_while() -> None:
    world = World(BAD, 5.0, 100.0, BAD)
    await world.play()
    waits = [b - a for a, b in zip(world.starts, world.starts[1:], strict=False)]
    assert waits == [1, 5 + 2, 100 + 1, 2]


async def test_after_three_failures_it_is_failed_and_tried_on_every_minute() -> None:
    world = World(*[BAD] * 5, 1e9)
    await world.play()
    assert world.states == [*["backoff", "starting"] * 2, "failed", "failed", "failed", "ready", "stopped"]
    assert [b - a for a, b in zip(world.starts, world.starts[1:], strict=False)][1:] == [2, 60, 60, 60]


async def test_a_source_that_is_missing_fails_at_once() -> None:
    world = World(SourceNotFoundError("no such folder"), 1e9)
    await world.play()
    assert world.states == ["failed", "ready", "stopped"]


async def test_the_error_is_kept_while_it_is_tried_again_and_forgotten_when_it_serves() -> None:
    world = World(OSError("no such program"), 1e9)
    errors: list[str | None] = []
    world.supervisor._on_change = lambda: errors.append(world.supervisor.error)
    await world.play()
    assert errors == ["no such program", "no such program", None, None]


async def test_an_error_that_nobody_foresaw_ends_one_life_and_not_the_supervision() -> None:
    world = World(ZeroDivisionError("of a checkpoint without heads"), 1e9)
    errors: list[str | None] = []
    world.supervisor._on_change = lambda: errors.append(world.supervisor.error)
    await world.play()
    assert world.stopped == 2
    assert "ZeroDivisionError('of a checkpoint without heads')" in str(errors[0])
    assert errors[-1] is None
