"""The two generations of a directory, under writers that are killed at any of their steps."""

from __future__ import annotations

import tempfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from routers.generations import Generations
from tests.routers.dying import killed_after

Pair = tuple[str | None, str | None]
WHOLE = "whole"


def identify(folder: Path) -> str | None:
    """A generation of these tests: one file with its content, another that is written last."""
    content, whole = folder / "content", folder / WHOLE
    return content.read_text() if whole.exists() and content.exists() else None


def put(generations: Generations, *contents: str) -> None:
    """Replaces the current generation by each of `contents` in turn."""
    for content in contents:

        def write(folder: Path, content: str = content) -> None:
            (folder / "content").write_text(content)
            (folder / WHOLE).write_text("")

        generations.replace(write)


def usable(folder: Path) -> None:
    if identify(folder) is None:
        raise LookupError(folder)


def pair(generations: Generations) -> Pair:
    return identify(generations.current), identify(generations.previous)


@pytest.fixture
def generations(tmp_path: Path) -> Generations:
    return Generations(tmp_path / "below" / "router", identify)


def test_what_is_replaced_is_kept_for_one_generation(generations: Generations) -> None:
    put(generations, *"abc")
    assert pair(generations) == ("c", "b")
    assert sorted(path.name for path in generations.current.parent.iterdir()) == ["router", "router.previous"]


def test_swapping_twice_returns(generations: Generations) -> None:
    put(generations, "a")
    put(generations, "b")
    generations.swap(usable)
    assert pair(generations) == ("a", "b")
    generations.swap(usable)
    assert pair(generations) == ("b", "a")


def test_nothing_is_swapped_where_the_check_refuses(generations: Generations) -> None:
    put(generations, "a")
    with pytest.raises(LookupError):
        generations.swap(usable)
    assert pair(generations) == ("a", None)


def test_the_same_content_again_keeps_the_generation_before(generations: Generations) -> None:
    put(generations, *"abb")
    assert pair(generations) == ("b", "a")


def test_a_damaged_one_does_not_push_a_whole_one_out(generations: Generations) -> None:
    put(generations, *"ab")
    (generations.current / WHOLE).unlink()
    put(generations, "c")
    assert pair(generations) == ("c", "a")


def test_a_removed_one_can_be_had_back(generations: Generations) -> None:
    put(generations, "a")
    generations.current.rename(generations.previous)
    generations.recover()
    assert pair(generations) == (None, "a")  # no change was cut off: a person did this
    generations.swap(usable)
    assert pair(generations) == ("a", None)


def test_an_empty_folder_is_no_generation(generations: Generations) -> None:
    generations.current.mkdir(parents=True)
    put(generations, "a")
    assert pair(generations) == ("a", None)


def test_a_failed_write_changes_nothing(generations: Generations) -> None:
    put(generations, *"ab")

    def fail(folder: Path) -> None:
        (folder / "content").write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        generations.replace(fail)
    assert pair(generations) == ("b", "a")
    assert sorted(path.name for path in generations.current.parent.iterdir()) == ["router", "router.previous"]


def test_writers_take_turns_and_a_reader_waits_for_the_one_in_the_middle(generations: Generations) -> None:
    """The first writer stops where `current` is missing; nobody else may take that for a killed process."""
    put(generations, "a")
    missing, go_on = threading.Event(), threading.Event()

    class Slow(Generations):
        def _retire(self) -> None:
            super()._retire()
            missing.set()
            go_on.wait(20)

    with ThreadPoolExecutor(3) as pool:
        slow = pool.submit(put, Slow(generations.current, identify), "b")
        assert missing.wait(20)
        assert not generations.current.exists()
        reader = pool.submit(generations.recover)
        writer = pool.submit(put, generations, "c")
        go_on.set()
        for done in (slow, reader, writer):
            done.result(20)
    assert pair(generations) == ("c", "b")


class KilledWriters(RuleBasedStateMachine):
    """Whatever step a writer is killed at: both generations as before its change, or both as after it."""

    def __init__(self) -> None:
        super().__init__()
        self._folder = tempfile.TemporaryDirectory()
        self._generations = Generations(Path(self._folder.name) / "router", identify)
        self._expected: set[Pair] = {(None, None)}
        self._written = 0

    def teardown(self) -> None:
        self._folder.cleanup()

    @property
    def _now(self) -> Pair:
        (known,) = self._expected
        return known

    @rule()
    def replace(self) -> None:
        after = self._next_content()
        current, previous = self._now
        put(self._generations, after)
        self._expected = {(after, current or previous)}

    @rule(steps=st.integers(0, 14))
    def replace_and_be_killed(self, steps: int) -> None:
        after = self._next_content()
        current, previous = self._now
        with killed_after(steps):
            put(self._generations, after)
        self._expected = {self._now, (after, current or previous)}

    @precondition(lambda self: self._now[1])
    @rule()
    def swap(self) -> None:
        self._generations.swap(usable)
        self._expected = {self._now[::-1]}

    @precondition(lambda self: self._now[1])
    @rule(steps=st.integers(0, 6))
    def swap_and_be_killed(self, steps: int) -> None:
        with killed_after(steps):
            self._generations.swap(usable)
        self._expected = {self._now, self._now[::-1]}

    @precondition(lambda self: self._now[0])
    @rule()
    def a_person_removes_the_current_one(self) -> None:
        for path in self._generations.current.iterdir():
            path.unlink()
        self._generations.current.rmdir()
        self._expected = {(None, self._now[1])}

    @invariant()
    def a_reader_finds_a_whole_one(self) -> None:
        self._generations.recover()
        found = identify(self._generations.current)
        assert found in {current for current, _ in self._expected}

    @invariant()
    def both_generations_belong_together(self) -> None:
        with self._generations._alone():  # what every writer begins with
            pass
        found = pair(self._generations)
        assert found in self._expected
        self._expected = {found}

    def _next_content(self) -> str:
        self._written += 1
        return str(self._written)


TestKilledWriters = KilledWriters.TestCase
TestKilledWriters.settings = settings(max_examples=60, stateful_step_count=12, deadline=None)
