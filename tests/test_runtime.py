"""Where a process keeps its files, on the machine of the service and on others."""

from pathlib import Path

import pytest

from coe.runtime import NODE_VARIABLE, Runtime, node_paths


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(
        run_dir=tmp_path / "run",
        log_file=tmp_path / "logs" / "serve.log",
        redis_url="redis://x",
        token="t",
        local=False,
    )


def test_the_services_own_paths_where_they_exist(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NODE_VARIABLE, raising=False)
    monkeypatch.setenv("COE_HOME", "/here/coe")
    runtime.log_file.parent.mkdir()

    paths = node_paths(runtime)

    assert (paths.run_dir, paths.log_file) == (runtime.run_dir, runtime.log_file)
    assert paths.cache_dir == Path("/here/coe")
    assert paths.run_dir.is_dir()


def test_a_machine_without_the_logs_folder_logs_into_the_run_folder(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(NODE_VARIABLE, raising=False)

    log_file = node_paths(runtime).log_file

    assert log_file.parent == runtime.run_dir
    assert log_file.parent.is_dir()


def test_a_machine_that_joined_uses_nothing_of_the_others(
    runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(NODE_VARIABLE, str(tmp_path / "node"))

    paths = node_paths(runtime)

    assert paths.run_dir == tmp_path / "node"
    assert paths.log_file.parent == tmp_path / "node"
    assert not runtime.run_dir.exists()
