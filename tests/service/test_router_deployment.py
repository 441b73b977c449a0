"""A router in a deployment of its own (`router.placement: deployment`), as clients of the gateway see it."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from routers.artefact import version_of
from routers.mapping.expert_map import ExpertMap
from routers.router import CategoryRouter
from tests.service.running import LOCAL_CONFIG, RunService
from tests.service.test_faults import ScriptedEngine, ask, attached_config

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]


@pytest.fixture
def engine() -> Iterator[ScriptedEngine]:
    engine = ScriptedEngine()
    yield engine
    engine.close()


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A copy of the router that ships, to be replaced."""
    return shutil.copytree(LOCAL_CONFIG.parent / "router", tmp_path / "router")


def test_its_card_is_shown_from_the_start_and_follows_a_swap(
    engine: ScriptedEngine, directory: Path, start_service: RunService
) -> None:
    router = {"path": str(directory), "general": "steady", "placement": "deployment"}
    with start_service({**attached_config(engine), "router": router}) as service:
        old = shown_version(service.url)  # before it has decided anything
        assert old == decided_version(service.url) == version_of(directory)
        assert ask(service.url, "coe").status_code == 200

        everything_to_steady = ExpertMap("steady", {}, {"steady": None})
        CategoryRouter.load(directory, Path).with_map(everything_to_steady).save(directory)
        new = version_of(directory)
        deadline = time.monotonic() + 30
        while shown_version(service.url) == old and time.monotonic() < deadline:
            time.sleep(0.5)

        assert shown_version(service.url) == decided_version(service.url) == new != old


def shown_version(url: str) -> str:
    return str(httpx.get(f"{url}/v1/router", timeout=30).json()["version"])


def decided_version(url: str) -> str:
    return str(httpx.post(f"{url}/v1/route", json={"prompt": "Add 2 and 3."}, timeout=30).json()["router_version"])
