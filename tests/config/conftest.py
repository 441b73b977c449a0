"""A small configuration to make mistakes in."""

from collections.abc import Callable
from pathlib import Path

import pytest

from coe.config.load import LoadedConfig, load_config
from coe.errors import ConfigError

GOOD = """\
router:
  path: router
  general: generalist
  map:
    poetry: poet
models:
  base:
    source: path:weights
experts:
  generalist:
    model: base
  poet:
    model: base
    system: Rhyme.
workers:
  local-1:
    device: cpu
"""
Load = Callable[..., LoadedConfig]
Mistakes = Callable[..., list[str]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """`load(old, new, COE_X__Y="z")`: the good configuration with `old` replaced by `new`, under an environment."""

    def load(old: str = "", new: str = "", **environment: str) -> LoadedConfig:
        assert old in GOOD
        file = tmp_path / "service.yaml"
        file.write_text(GOOD.replace(old, new, 1))
        return load_config(file, environment)

    return load


@pytest.fixture
def mistakes(load: Load, tmp_path: Path) -> Mistakes:
    """The lines of the error, with the folder left out of their places."""

    def find(old: str = "", new: str = "", **environment: str) -> list[str]:
        with pytest.raises(ConfigError) as caught:
            load(old, new, **environment)
        return str(caught.value).replace(f"{tmp_path}/", "").splitlines()

    return find
