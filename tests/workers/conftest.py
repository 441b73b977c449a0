"""What the tests of this package share: scripted engines, as commands and in this process, and a worker on them."""

import importlib.util
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from types import ModuleType

import aiohttp
import pytest

from workers.engine.server import Launch
from workers.engine.supervisor import Backoff
from workers.spec import ExpertSpec, ModelSpec, WorkerSpec
from workers.worker import ExpertWorker

SCRIPT = Path(__file__).with_name("scripted_engine.py")
StartWorker = Callable[..., Awaitable[ExpertWorker]]


@pytest.fixture(scope="session")
def scripted() -> ModuleType:
    """The module of the scripted engine."""
    spec = importlib.util.spec_from_file_location("scripted_engine", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def scripted_command() -> Callable[[Launch], list[str]]:
    """A command that starts a scripted engine in place of vLLM; the model's `extra_args` are its options."""

    def command(launch: Launch) -> list[str]:
        weights = ["--weights", str(launch.model_dir)] if launch.replaceable or launch.sleeps else []
        served = ["--served", launch.model.base_name]
        return [
            sys.executable,
            str(SCRIPT),
            "--socket",
            str(launch.socket),
            *served,
            *weights,
            *launch.model.extra_args,
        ]

    return command


@pytest.fixture
def model_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    return folder


@pytest.fixture
async def start_worker(
    tmp_path: Path, model_dir: Path, scripted_command: Callable[[Launch], list[str]]
) -> AsyncIterator[StartWorker]:
    """Starts workers on scripted engines; keyword arguments replace those of the specification."""
    async with AsyncExitStack() as stack:

        async def start(worker_id: str = "w", on_report: object = None, **settings: object) -> ExpertWorker:
            values: dict[str, object] = {
                "group": "g",
                "device": "cpu",
                "models": (ModelSpec(name="base", source=f"path:{model_dir}"),),
                "experts": (ExpertSpec(name="poet", model="base", system="Rhyme."),),
                "cache_dir": tmp_path / "cache",
                "run_dir": tmp_path / "run",
                "drain_timeout_s": 0.5,
            }
            spec = WorkerSpec(**(values | settings))  # type: ignore[arg-type]  # each test names its own
            backoff = Backoff(first_s=0.05, longest_s=0.2, failures=3)
            worker = ExpertWorker(
                spec,
                worker_id=worker_id,
                on_report=on_report,  # type: ignore[arg-type]  # tests keep reports as they like
                command=scripted_command,
                backoff=backoff,
            )
            await worker.start()
            stack.push_async_callback(worker.stop)
            return worker

        yield start


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture(scope="session")
def coe_home() -> Path:
    """Where converted models are kept between test runs."""
    return Path(os.environ.get("COE_HOME", "~/.cache/coe")).expanduser()
