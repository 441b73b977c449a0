from collections.abc import Callable
from pathlib import Path

import pytest

from coe.config.load import LoadedConfig
from coe.config.specs import absolute_source, expert_fingerprint, worker_spec
from coe.runtime import NodePaths, cache_directory
from workers.spec import Sampling

Load = Callable[..., LoadedConfig]


@pytest.fixture
def paths(tmp_path: Path) -> NodePaths:
    return NodePaths(run_dir=tmp_path / "run", log_file=tmp_path / "log", cache_dir=tmp_path / "cache")


def test_a_worker_is_told_its_groups_experts_and_their_models_alone(
    load: Load, paths: NodePaths, tmp_path: Path
) -> None:
    loaded = load(
        "device: cpu",
        "experts: [poet]\n    max_running: 3\n  other:\n    experts: [generalist]",
        COE_MODELS__BASE__ENGINE_ARGS="[--enforce-eager]",
        COE_MODELS__BASE__ENGINE_ENV="{A: b}",
        COE_EXPERTS__POET__SAMPLING="{temperature: 0.5, stop: [END]}",
        COE_EXPERTS__POET__ADAPTER="path:adapters/poet",
        COE_EXPERTS__POET__LOAD="request",
    )
    spec = worker_spec(loaded, "local-1", paths, host="127.0.0.1", token="t")
    assert (spec.group, spec.device, spec.host, spec.token, spec.max_running) == ("local-1", "cpu", "127.0.0.1", "t", 3)
    (model,) = spec.models
    assert (model.name, model.source) == ("base", f"path:{tmp_path}/weights")
    assert (model.extra_args, model.env) == (("--enforce-eager",), (("A", "b"),))
    (expert,) = spec.experts
    assert (expert.name, expert.system, expert.adapter) == ("poet", "Rhyme.", f"path:{tmp_path}/adapters/poet")
    assert expert.load == "request"
    assert expert.sampling == Sampling(temperature=0.5, stop=("END",))


def test_only_paths_depend_on_where_the_file_is(load: Load, tmp_path: Path) -> None:
    loaded = load()
    assert absolute_source(loaded, "hf:org/name") == "hf:org/name"
    assert absolute_source(loaded, "path:x") == f"path:{tmp_path}/x"
    assert absolute_source(loaded, "path:/x") == "path:/x"


def test_a_fingerprint_is_of_everything_that_defines_an_expert(load: Load) -> None:
    before = load()
    changes = [
        {"COE_EXPERTS__POET__SYSTEM": "Sing."},
        {"COE_EXPERTS__POET__SAMPLING__SEED": "1"},
        {"COE_MODELS__BASE__SOURCE": "path:other"},
        {"COE_MODELS__BASE__DTYPE": "float32"},
    ]
    prints = {expert_fingerprint(load(**change), "poet") for change in changes}
    prints |= {expert_fingerprint(before, "poet"), expert_fingerprint(before, "generalist")}
    assert len(prints) == 6
    unrelated = load(COE_SERVER__PORT="9000", COE_EXPERTS__POET__LOAD="start", COE_EXPERTS__GENERALIST__SYSTEM="x")
    assert expert_fingerprint(unrelated, "poet") == expert_fingerprint(before, "poet")


def test_where_converted_models_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COE_HOME", "~/models")
    assert cache_directory() == Path.home() / "models"
    monkeypatch.delenv("COE_HOME")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_directory() == Path("/x/coe")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_directory() == Path.home() / ".cache" / "coe"
