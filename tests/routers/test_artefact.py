"""Router directories: versions, the generation before, rollback, and what a killed writer leaves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import orjson
import pytest

from routers.artefact import (
    MANIFEST,
    file_identities,
    recover_artefact,
    refuse_foreign,
    roll_back,
    verify_artefact,
    version_of,
    write_artefact,
)
from routers.encoders.static import StaticEncoder
from routers.errors import ArtefactChecksumError, ArtefactError, ArtefactVersionError
from routers.prompts import LabelledPrompt
from routers.router import CategoryRouter
from routers.training import train
from tests.routers.dying import killed_after

MakePrompts = Callable[..., list[LabelledPrompt]]
NoResolve = Callable[[str], Path]


def write(directory: Path, content: str) -> str:
    """An artefact of two files; returns its version."""

    def write_files(folder: Path) -> None:
        (folder / "a.json").write_text(content)
        (folder / "b.json").write_text(content)

    write_artefact(directory, write_files)
    return version_of(directory)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "router"


@pytest.fixture
def previous(tmp_path: Path) -> Path:
    return tmp_path / "router.previous"


def test_the_version_names_the_content(directory: Path, tmp_path: Path) -> None:
    first = write(directory, "one")
    assert first == write(tmp_path / "elsewhere", "one")
    assert len(first) == 12
    assert int(first, 16) >= 0
    assert write(directory, "two") != first
    with pytest.raises(ArtefactError, match="coe train-router"):
        version_of(tmp_path)


def test_the_replaced_one_is_kept_whole_beside_the_new_one(directory: Path, previous: Path) -> None:
    versions = [write(directory, content) for content in ("one", "two", "three")]
    assert (version_of(directory), version_of(previous)) == (versions[2], versions[1])
    verify_artefact(previous)
    assert sorted(path.name for path in directory.parent.iterdir()) == ["router", "router.previous"]


def test_rolling_back_twice_returns(directory: Path, previous: Path) -> None:
    first, second = write(directory, "one"), write(directory, "two")
    assert roll_back(directory) == version_of(directory) == first
    assert version_of(previous) == second
    assert roll_back(directory) == version_of(directory) == second


def test_a_rollback_brings_back_the_router_that_answered_before(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, no_resolve: NoResolve, directory: Path
) -> None:
    texts = [prompt.text for prompt in make_prompts(20, seed=3)]
    before = train(make_prompts(30), word_encoder)[0]
    before.save(directory)
    train(make_prompts(30, seed=1), word_encoder)[0].save(directory)
    assert CategoryRouter.load(directory, no_resolve).classify_batch(texts) != before.classify_batch(texts)
    roll_back(directory)
    assert CategoryRouter.load(directory, no_resolve).classify_batch(texts) == before.classify_batch(texts)


def test_without_a_previous_router_nothing_is_rolled_back(directory: Path, tmp_path: Path) -> None:
    version = write(directory, "one")
    with pytest.raises(ArtefactError, match=r"no previous router.*Train or copy"):
        roll_back(directory)
    assert version_of(directory) == version
    with pytest.raises(ArtefactError, match="no previous router"):
        roll_back(tmp_path / "none")


def damage(folder: Path) -> None:
    (folder / "b.json").write_text("not")


def lose(folder: Path) -> None:
    (folder / "b.json").unlink()


def come_from_a_later_version(folder: Path) -> None:
    manifest = orjson.loads((folder / MANIFEST).read_bytes())
    (folder / MANIFEST).write_bytes(orjson.dumps({**manifest, "version": manifest["version"] + 1}))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (damage, ArtefactChecksumError),
        (lose, ArtefactError),
        (come_from_a_later_version, ArtefactVersionError),
    ],
)
def test_a_previous_router_that_cannot_be_used_is_refused_and_the_current_one_kept(
    directory: Path, previous: Path, change: Callable[[Path], None], error: type[ArtefactError]
) -> None:
    write(directory, "one")
    second = write(directory, "two")
    change(previous)
    with pytest.raises(error, match="is kept"):
        roll_back(directory)
    assert version_of(directory) == second
    verify_artefact(directory)


def test_a_damaged_router_is_rolled_back_from(directory: Path) -> None:
    first = write(directory, "one")
    write(directory, "two")
    damage(directory)
    assert roll_back(directory) == first
    verify_artefact(directory)


def test_a_damaged_router_is_not_what_is_kept(directory: Path, previous: Path) -> None:
    first = write(directory, "one")
    write(directory, "two")
    damage(directory)
    write(directory, "three")
    assert version_of(previous) == first


def test_what_is_not_a_router_is_left_alone_where_the_old_one_would_be_kept(directory: Path, previous: Path) -> None:
    write(directory, "one")
    previous.mkdir()
    (previous / "notes.txt").write_text("mine")
    for refused in (lambda: write(directory, "two"), lambda: refuse_foreign(directory)):
        with pytest.raises(ArtefactError, match=r"router\.previous exists and is not a router"):
            refused()
    assert (previous / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize("steps", range(8))
def test_a_writer_killed_at_any_step_leaves_the_old_or_the_new_router(
    directory: Path, previous: Path, tmp_path: Path, steps: int
) -> None:
    versions = {content: write(tmp_path / content, content) for content in ("one", "two", "three")}
    write(directory, "one")
    write(directory, "two")
    with killed_after(steps):
        write(directory, "three")
    recover_artefact(directory)
    verify_artefact(directory)
    assert version_of(directory) in {versions["two"], versions["three"]}
    write(directory, "three")
    assert (version_of(directory), version_of(previous)) == (versions["three"], versions["two"])


@pytest.mark.parametrize("steps", range(5))
def test_a_rollback_killed_at_any_step_loses_neither(directory: Path, previous: Path, steps: int) -> None:
    both = {write(directory, "one"), write(directory, "two")}
    with killed_after(steps):
        roll_back(directory)
    recover_artefact(directory)
    verify_artefact(directory)
    roll_back(directory)
    assert {version_of(directory), version_of(previous)} == both


def test_opening_a_router_ends_a_write_that_was_killed(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, no_resolve: NoResolve, directory: Path
) -> None:
    router = train(make_prompts(30), word_encoder)[0]
    router.save(directory)
    train(make_prompts(30, seed=1), word_encoder)[0].save(directory)
    killed_where_it_is_missing = 0
    for steps in range(14):
        with killed_after(steps):
            router.save(directory)
        killed_where_it_is_missing += not directory.exists()
        assert CategoryRouter.load(directory, no_resolve).categories
    assert killed_where_it_is_missing


def test_the_identities_tell_every_change_of_a_file(directory: Path) -> None:
    assert file_identities(directory) == frozenset()
    write(directory, "one")
    before = file_identities(directory)
    assert file_identities(directory) == before
    (directory / "b.json").write_text("two")
    assert file_identities(directory) != before
    before = file_identities(directory)
    write(directory, "one")
    assert file_identities(directory) != before
