"""Services for the tests that ask them over HTTP."""

import signal
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.running import (
    NEWCOMER,
    STOP_TIMEOUT_S,
    RunningService,
    RunService,
    assert_all_gone,
    read_local_config,
    run_service,
    with_newcomer,
)


@pytest.fixture(scope="session")
def newcomer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the adapter of the expert `newcomer` is looked for when it is loaded; nothing is there yet."""
    return tmp_path_factory.mktemp("adapters") / NEWCOMER


@pytest.fixture(scope="session")
def local_service(tmp_path_factory: pytest.TempPathFactory, newcomer: Path) -> Iterator[RunningService]:
    """`configs/local.yaml` as it ships with one expert more, on real vLLM, for all tests of the session."""
    config = with_newcomer(read_local_config(), newcomer)
    with run_service(tmp_path_factory.mktemp("local"), config) as service:
        yield service
        processes = service.descendants()
        service.process.send_signal(signal.SIGTERM)
        assert service.process.wait(STOP_TIMEOUT_S) == 0
        assert_all_gone(processes)  # vLLM's processes among them


@pytest.fixture(scope="session")
def client(local_service: RunningService) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=local_service.url, timeout=300.0) as client:
        yield client


@pytest.fixture
def start_service(tmp_path: Path) -> RunService:
    """Starts a service from a configuration given as a mapping; leaving the block stops it."""
    return lambda config: run_service(tmp_path, config)
