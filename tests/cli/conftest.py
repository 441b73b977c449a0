from collections.abc import Iterator

import pytest
import structlog

from tests.cli.commands import Coe, run


@pytest.fixture
def coe(monkeypatch: pytest.MonkeyPatch) -> Iterator[Coe]:
    """Runs a command: `coe("check", "service.yaml")`."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "dumb")
    yield run
    structlog.reset_defaults()
