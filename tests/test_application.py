"""The service as an application that Ray Serve builds from a configuration's path."""

from pathlib import Path

import pytest
import yaml
from pydantic import ValidationError

from coe.application import Arguments, build
from coe.config.load import load_config
from coe.errors import ConfigError
from coe.graph import GATEWAY, Setup

LOCAL_CONFIG = Path(__file__).parents[1] / "configs" / "local.yaml"


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A service whose experts are on a server that runs elsewhere."""
    config = {
        "router": {"path": str(LOCAL_CONFIG.parent / "router"), "general": "poet"},
        "models": {"away": {"url": "http://127.0.0.1:9", "served_name": "away"}},
        "experts": {"poet": {"model": "away"}},
        "workers": {"first": {}},
        "redis": {"url": "redis://redis:6379/1"},
    }
    (tmp_path / "service.yaml").write_text(yaml.safe_dump(config))
    return tmp_path / "service.yaml"


def setup_of(config: Path, run_dir: Path) -> Setup:
    """What the gateway is constructed from."""
    gateway = build(Arguments(config=config, run_dir=run_dir))._bound_deployment
    assert gateway.name == GATEWAY
    setup = gateway.init_args[0]
    assert isinstance(setup, Setup)
    return setup


def test_it_is_the_service_of_the_file_on_a_cluster(service: Path, tmp_path: Path) -> None:
    setup = setup_of(service, tmp_path / "run")
    assert setup.loaded.config == load_config(service).config
    assert setup.runtime.redis_url == "redis://redis:6379/1"
    assert setup.runtime.local is False
    assert setup.runtime.log_file == tmp_path / "run" / "service.log"


def test_workers_of_two_builds_do_not_know_each_others_secret(service: Path, tmp_path: Path) -> None:
    assert setup_of(service, tmp_path).runtime.token != setup_of(service, tmp_path).runtime.token


def test_an_embedded_redis_is_refused_because_other_nodes_cannot_reach_it(service: Path, tmp_path: Path) -> None:
    config = yaml.safe_load(service.read_text())
    del config["redis"]
    service.write_text(yaml.safe_dump(config))
    with pytest.raises(ConfigError, match=r"redis\.url: required key is missing"):
        build(Arguments(config=service, run_dir=tmp_path))


def test_what_would_not_start_is_refused_before_anything_does(
    service: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COE_ROUTER__PATH", "nowhere")
    with pytest.raises(ConfigError, match=r"router\.path"):
        build(Arguments(config=service, run_dir=tmp_path))


def test_an_argument_with_another_name_is_an_error() -> None:
    with pytest.raises(ValidationError, match="configuration"):
        Arguments.model_validate({"configuration": "service.yaml", "run_dir": "/run/coe"})
