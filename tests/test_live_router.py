"""A router that is replaced while it answers: real small routers, real files, a real gateway."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import orjson
import pytest
import yaml

from coe.config.load import load_config
from coe.live_router import LiveRouter
from coe.routing import RouterCard, Routing, load_routing
from coe.telemetry.metrics import ROUTER_INFO, ROUTER_RELOADS
from routers.artefact import MANIFEST, roll_back, version_of
from routers.encoders.static import StaticEncoder
from routers.errors import EncoderError
from routers.mapping.expert_map import ExpertMap
from routers.prompts import LabelledPrompt
from routers.router import CategoryRouter, Classification
from routers.training import train
from tests.running_gateway import StartGateway
from tests.scripted_worker import until

LAW = "please explain what the judge of the court can do to the jury"
MakePrompts = Callable[..., list[LabelledPrompt]]


@dataclass(frozen=True, slots=True)
class Versions:
    """Two routers whose categories and experts differ, on disk."""

    old: Path
    new: Path


@pytest.fixture(scope="module")
def versions(
    word_encoder: StaticEncoder, make_prompts: MakePrompts, tmp_path_factory: pytest.TempPathFactory
) -> Versions:
    """`old` sends `law` to the poet, `new` sends `new-law` to the generalist."""
    folder = tmp_path_factory.mktemp("routers")
    prompts = make_prompts(30)
    renamed = [replace(prompt, category=f"new-{prompt.category}") for prompt in prompts]
    for name, rows, category, expert in (("old", prompts, "law", "poet"), ("new", renamed, "new-law", "generalist")):
        router = train(rows, word_encoder)[0]
        router.with_map(ExpertMap(expert, {category: expert}, {expert: None})).save(folder / name)
    return Versions(folder / "old", folder / "new")


@pytest.fixture
def directory(versions: Versions, tmp_path: Path) -> Path:
    shutil.copytree(versions.old, tmp_path / "router")
    return tmp_path / "router"


@pytest.fixture
def load(directory: Path) -> Callable[[], Routing]:
    """What a gateway loads its router with, by a configuration that knows the two experts of the tests."""
    config = {
        "router": {"path": str(directory), "general": "generalist"},
        "models": {"scripted": {"url": "http://127.0.0.1:9", "served_name": "scripted"}},
        "experts": {"generalist": {"model": "scripted"}, "poet": {"model": "scripted"}},
        "workers": {"only": {}},
    }
    path = directory.parent / "service.yaml"
    path.write_text(yaml.safe_dump(config))
    return partial(load_routing, load_config(path, {}), directory.parent)


@pytest.fixture
def live(directory: Path, load: Callable[[], Routing]) -> LiveRouter:
    return LiveRouter(directory, load)


def copy_over(source: Path, target: Path) -> None:
    """As `cp` does it: file by file over what is there."""
    target.mkdir(exist_ok=True)
    for path in source.iterdir():
        shutil.copyfile(path, target / path.name)


def replace_router(source: Path, directory: Path) -> str:
    """As `coe train-router` does it; returns the version."""
    CategoryRouter.load(source, Path).save(directory)
    return version_of(directory)


async def look_twice(live: LiveRouter) -> None:
    """Changed files are taken up by the second look that finds them."""
    await live.refresh()
    await live.refresh()


def reloads(result: str) -> float:
    return float(ROUTER_RELOADS.labels(result)._value.get())


def processes(version: str) -> float:
    return float(ROUTER_INFO.labels(version)._value.get())


async def test_a_changed_router_is_taken_up_whole(live: LiveRouter, versions: Versions, directory: Path) -> None:
    before, taken = await live.route((LAW,)), reloads("taken")
    assert (before.classification.category, before.expert) == ("law", "poet")
    assert before.router_card.version == version_of(versions.old)
    assert processes(before.router_card.version) == 1

    new = replace_router(versions.new, directory)
    await look_twice(live)

    after = await live.route((LAW,))
    assert (after.classification.category, after.expert, after.router_card.version) == ("new-law", "generalist", new)
    assert (processes(before.router_card.version), processes(new)) == (0, 1)
    await look_twice(live)
    assert reloads("taken") == taken + 1


async def test_a_decision_carries_the_card_of_its_router(live: LiveRouter, versions: Versions, directory: Path) -> None:
    old = RouterCard(version_of(versions.old), CategoryRouter.load(directory, Path).categories, 0.05)
    assert (await live.route((LAW,))).router_card == await live.card() == old

    new = replace_router(versions.new, directory)
    await look_twice(live)

    card = (await live.route((LAW,))).router_card
    assert card == await live.card()
    assert card.version == new
    assert "new-law" in card.categories


async def test_a_rollback_is_taken_up_like_any_change(live: LiveRouter, versions: Versions, directory: Path) -> None:
    old, new = live.version, replace_router(versions.new, directory)
    await look_twice(live)
    assert live.version == new
    roll_back(directory)
    await look_twice(live)
    assert live.version == old


async def test_it_is_looked_for_in_the_background(
    live: LiveRouter, versions: Versions, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coe.live_router.POLL_S", 0.01)
    watching = asyncio.create_task(live.keep_current())
    new = replace_router(versions.new, directory)
    await until(lambda: live.version == new)
    watching.cancel()


def is_damaged(directory: Path, versions: Versions) -> None:
    copy_over(versions.new, directory)
    (directory / "weights.safetensors").write_bytes(b"not")


def is_half_copied(directory: Path, versions: Versions) -> None:
    shutil.copyfile(versions.new / MANIFEST, directory / MANIFEST)


def is_of_a_later_format(directory: Path, versions: Versions) -> None:
    manifest = orjson.loads((versions.new / MANIFEST).read_bytes())
    copy_over(versions.new, directory)
    (directory / MANIFEST).write_bytes(orjson.dumps({**manifest, "version": manifest["version"] + 1}))


def names_an_unknown_expert(directory: Path, versions: Versions) -> None:
    stranger = ExpertMap("stranger", {"new-law": "stranger"}, {"stranger": None})
    CategoryRouter.load(versions.new, Path).with_map(stranger).save(directory)


def is_missing(directory: Path, versions: Versions) -> None:
    shutil.rmtree(directory)


@pytest.mark.parametrize(
    "spoil", [is_damaged, is_half_copied, is_of_a_later_format, names_an_unknown_expert, is_missing]
)
async def test_a_router_that_cannot_be_used_is_refused_once_and_the_old_one_goes_on(
    live: LiveRouter, versions: Versions, directory: Path, spoil: Callable[[Path, Versions], None]
) -> None:
    old, refused = live.version, reloads("refused")
    spoil(directory, versions)
    for _ in range(3):
        await look_twice(live)
    assert reloads("refused") == refused + 1
    assert (await live.route((LAW,))).router_card.version == live.version == old

    copy_over(versions.new, directory)  # mended in place
    await look_twice(live)
    assert live.version == version_of(versions.new)


async def test_files_that_still_come_in_are_waited_for(live: LiveRouter, versions: Versions, directory: Path) -> None:
    refused = reloads("refused")
    for path in versions.new.iterdir():
        shutil.copyfile(path, directory / path.name)
        await live.refresh()
    assert reloads("refused") == refused
    await live.refresh()
    assert live.version == version_of(versions.new)


async def test_the_same_router_copied_again_is_no_reload(live: LiveRouter, versions: Versions, directory: Path) -> None:
    counted = reloads("taken"), reloads("refused")
    copy_over(versions.old, directory)
    await look_twice(live)
    assert (reloads("taken"), reloads("refused")) == counted


class Stub:
    """A router whose encoder waits, or fails; its one category is its name."""

    def __init__(self, name: str, go_on: threading.Event, error: Exception | None = None) -> None:
        self._name = name
        self._go_on = go_on
        self._error = error
        self.asked = threading.Event()

    def classify_turns(self, turns: Sequence[str]) -> Classification:
        self.asked.set()
        self._go_on.wait(20)
        if self._error:
            raise self._error
        return Classification(self._name, 1.0, abstained=False, in_scope=1.0, probabilities={self._name: 1.0})

    def as_routing(self) -> Routing:
        card = RouterCard(self._name, (self._name,), 0.0)
        return Routing(self, {self._name: self._name}, "general", card)  # type: ignore[arg-type]  # a stub of a router


async def test_a_request_under_way_ends_with_the_router_that_it_began_with(directory: Path) -> None:
    go_on, free = threading.Event(), threading.Event()
    free.set()
    slow, quick = Stub("slow", go_on), Stub("quick", free)
    coming = iter([slow.as_routing(), quick.as_routing()])
    live = LiveRouter(directory, lambda: next(coming))
    begun = asyncio.create_task(live.route((LAW,)))
    await until(slow.asked.is_set)
    (directory / MANIFEST).touch()
    await look_twice(live)
    assert (live.version, quick.asked.is_set()) == ("quick", True)  # warmed up before it was put in force
    go_on.set()
    routed = await begun
    assert (routed.classification.category, routed.expert, routed.router_card.version) == ("slow", "slow", "slow")


async def test_a_router_that_cannot_classify_is_refused(directory: Path) -> None:
    free = threading.Event()
    free.set()
    coming = iter([Stub("old", free).as_routing(), Stub("new", free, EncoderError("no")).as_routing()])
    live = LiveRouter(directory, lambda: next(coming))
    (directory / MANIFEST).touch()
    await look_twice(live)
    assert live.version == "old"


async def test_no_request_sees_a_mix_of_two_routers(
    live: LiveRouter, versions: Versions, directory: Path, start_gateway: StartGateway
) -> None:
    """Clients ask on and on while the router is replaced and rolled back below them."""
    gateway = await start_gateway(router=live)
    seen: list[tuple[str, str, str]] = []
    ended = asyncio.Event()

    async def ask() -> None:
        while not ended.is_set():
            reply = await gateway.post("/v1/route", {"prompt": LAW})
            assert reply.status == 200
            found = reply.json()
            seen.append((found["category"], found["expert"], found["router_version"]))

    async def change() -> None:
        for change in (partial(replace_router, versions.new), roll_back, roll_back):
            await asyncio.to_thread(change, directory)
            await look_twice(live)
            await more_replies(12)
        ended.set()

    async def more_replies(count: int) -> None:
        enough = len(seen) + count
        await until(lambda: len(seen) >= enough)

    async with asyncio.TaskGroup() as group:
        for _ in range(6):
            group.create_task(ask())
        group.create_task(change())
    assert set(seen) == {
        ("law", "poet", version_of(versions.old)),
        ("new-law", "generalist", version_of(versions.new)),
    }


async def test_texts_are_embedded_by_the_encoder_in_force(live: LiveRouter) -> None:
    vectors = await live.embed((LAW, LAW, "the sea"))
    assert vectors.shape[0] == 3
    assert vectors[0] @ vectors[1] == pytest.approx(1.0)
    assert vectors[0] @ vectors[2] < 0.9
