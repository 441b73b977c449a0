"""What contradicts itself in families and budgets is told with its place and its remedy."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from coe.config.load import load_config
from coe.config.specs import GIB, worker_spec
from coe.errors import ConfigError
from coe.runtime import NodePaths

Change = Callable[[dict[str, Any]], object]


def document() -> dict[str, Any]:
    """Two experts that share an engine and one with an engine of its own, which fit only one at a time."""
    shared = {"family": "small", "device_gb": 4}
    return {
        "router": {"path": "router", "general": "chatter"},
        "models": {
            "coder": {"source": "path:a", **shared},
            "chatter": {"source": "path:b", **shared},
            "thinker": {"source": "path:c", "device_gb": 6, "idle_s": 600},
        },
        "experts": {name: {"model": name} for name in ("coder", "chatter", "thinker")},
        "workers": {"local": {"memory": {"device_gb": 6, "host_gb": 2, "preload": ["chatter"]}}},
    }


def written(folder: Path, change: Change = lambda _: None) -> Path:
    settings = document()
    change(settings)
    file = folder / "service.yaml"
    file.write_text(yaml.safe_dump(settings, sort_keys=False))
    return file


def test_what_is_said_of_memory_reaches_the_worker(tmp_path: Path) -> None:
    loaded = load_config(written(tmp_path), {})
    paths = NodePaths(run_dir=tmp_path, log_file=tmp_path, cache_dir=tmp_path)
    spec = worker_spec(loaded, "local", paths, host="127.0.0.1", token="t")
    assert {name: [model.name for model in members] for name, members in spec.families.items()} == {
        "small": ["coder", "chatter"],
        "thinker": ["thinker"],
    }
    assert [model.device_bytes for model in spec.models] == [4 * GIB, 4 * GIB, 6 * GIB]
    assert (spec.memory.device_bytes, spec.memory.host_bytes, spec.memory.preload) == (6 * GIB, 2 * GIB, ("chatter",))


def put(*place: str, value: object) -> Change:
    def change(settings: dict[str, Any]) -> None:
        *above, last = place
        for key in above:
            settings = settings[key]
        settings[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "place", "told"),
    [
        (put("models", "chatter", "max_model_len", value=512), "models.chatter.family", "differs in `max_model_len`"),
        (put("models", "chatter", "family", value="thinker"), "models.thinker", "a family has this name, too"),
        (put("experts", "coder", "adapter", value="path:x"), "experts.coder.adapter", "come and go with its family"),
        (put("models", "thinker", "device_gb", value=0), "models.thinker.device_gb", "set it: worker `local`"),
        (put("models", "thinker", "device_gb", value=7), "models.thinker.device_gb", "more than the 6 GiB"),
        (put("models", "thinker", "asleep_gb", value=7), "models.thinker.asleep_gb", "more than `device_gb`"),
        (put("workers", "local", "memory", "preload", value=["x"]), "local.memory.preload.0", "has the model `x`"),
        (put("workers", "local", "memory", "exclusive", value=[["coder", "y"]]), "exclusive.0.1", "has the model `y`"),
        (put("workers", "local", "memory", "sleep", value=2), "local.memory.sleep", "on a CPU cannot sleep"),
    ],
)
def test_a_contradiction_is_told(tmp_path: Path, change: Change, place: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(written(tmp_path, change), {})
    assert place in str(caught.value)
    assert told in str(caught.value)


def test_what_is_pinned_must_fit_together(tmp_path: Path) -> None:
    def pin(settings: dict[str, Any]) -> None:
        for name in ("coder", "thinker"):
            settings["experts"][name]["pin"] = True

    with pytest.raises(ConfigError, match="what is pinned takes 10 GiB"):
        load_config(written(tmp_path, pin), {})


def test_level_1_of_sleep_needs_host_memory(tmp_path: Path) -> None:
    def sleep(settings: dict[str, Any]) -> None:
        settings["workers"]["local"] = {"device": "gpu", "memory": {"device_gb": 6, "sleep": 1}}

    with pytest.raises(ConfigError, match="set `host_gb`, or use level 2"):
        load_config(written(tmp_path, sleep), {})
