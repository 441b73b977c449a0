from collections.abc import Callable
from pathlib import Path

import pytest

from coe.config.load import LoadedConfig, load_config
from coe.errors import ConfigError

Load = Callable[..., LoadedConfig]
Mistakes = Callable[..., list[str]]


def test_a_good_file_is_a_typed_tree(load: Load, tmp_path: Path) -> None:
    loaded = load()
    assert loaded.config.router.map == {"poetry": "poet"}
    assert loaded.config.experts["poet"].system == "Rhyme."
    assert loaded.config.server.port == 8000
    assert loaded.config.experts_of("local-1") == ["generalist", "poet"]
    assert loaded.path("router") == tmp_path / "router"
    assert loaded.path("/elsewhere") == Path("/elsewhere")
    assert loaded.path("~/router") == Path.home() / "router"
    assert loaded.path("~no-such-user/router") == tmp_path / "~no-such-user/router"


def test_active_parameters_are_the_experts_own_or_its_models(load: Load) -> None:
    assert load().config.active_params_b("poet") is None
    of_the_model = load("source: path:weights", "source: path:weights\n    active_params_b: 3")
    assert of_the_model.config.active_params_b("poet") == 3
    assert load("system: Rhyme.", "active_params_b: 2").config.active_params_b("poet") == 2


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        ("path: router", "pth: router", "service.yaml:2: router.pth: unknown key; did you mean `path`?"),
        ("system:", "sytem:", "service.yaml:14: experts.poet.sytem: unknown key; did you mean `system`?"),
        ("device:", "zzz:", "service.yaml:17: workers.local-1.zzz: unknown key; known keys: device, replicas,"),
        ("workers:", "wrkers:", "service.yaml:15: wrkers: unknown key; did you mean `workers`?"),
        ("  path: router\n", "", "service.yaml:1: router.path: required key is missing."),
        ("device: cpu", "device: tpu", "service.yaml:17: workers.local-1.device: Input should be 'cpu' or 'gpu'"),
        ("  poet:", "  po et:", "service.yaml:12: experts.po et: not a valid name; use letters, digits,"),
        ("model: base", "model: [base]", "service.yaml:11: experts.generalist.model: Input should be a valid string"),
        ("general: generalist", "general: ''", "service.yaml:3: router.general: String should match"),
        ("device: cpu", "queue_timeout_s: .inf", "service.yaml:17: workers.local-1.queue_timeout_s: Input should be"),
        ("device: cpu", "memory: {device_gb: .inf}", "service.yaml:17: workers.local-1.memory.device_gb: Input"),
        ("device: cpu", "replicas: 0", "service.yaml:17: workers.local-1.replicas: Input should be greater than"),
        ("device: cpu", "experts: [poet, 7]", "service.yaml:17: workers.local-1.experts.1: Input should be a valid"),
        ("source: path:weights", "url: example.org", "service.yaml:8: models.base.url: String should match"),
    ],
)
def test_a_mistake_is_told_with_its_line_and_remedy(mistakes: Mistakes, old: str, new: str, found: str) -> None:
    assert any(line.startswith(found) for line in mistakes(old, new))


def test_all_mistakes_are_told_at_once(mistakes: Mistakes) -> None:
    found = mistakes("system: Rhyme.", "sytem: Rhyme.\n    sampling: {temperature: 3, top_p: x}")
    assert [line.partition(": ")[2].partition(":")[0] for line in found] == [
        "experts.poet.sampling.temperature",
        "experts.poet.sampling.top_p",
        "experts.poet.sytem",
    ]
    assert found[0].startswith("service.yaml:15:")
    assert found[0].endswith("(it is 3).")


@pytest.mark.parametrize("section", ["models", "experts", "workers"])
def test_a_section_may_not_be_empty(tmp_path: Path, section: str) -> None:
    file = tmp_path / "service.yaml"
    file.write_text(f"router: {{path: r, general: g}}\n{section}: {{}}\n")
    with pytest.raises(ConfigError, match=rf"service.yaml:2: {section}: Dictionary should have at least 1 item"):
        load_config(file, {})


def test_the_environment_of_the_process_is_read(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load()
    monkeypatch.setenv("COE_SERVER__PORT", "9001")
    assert load_config(tmp_path / "service.yaml").config.server.port == 9001


def test_a_secret_is_taken_from_the_environment_and_never_shown(load: Load) -> None:
    key = "k0123456789abcdef"
    loaded = load(COE_SERVER__ADMIN_KEY=key)
    assert loaded.config.server.admin_key is not None
    assert loaded.config.server.admin_key.get_secret_value() == key
    assert key not in repr(loaded) + str(loaded.config) + loaded.config.model_dump_json()


@pytest.mark.parametrize("value", ["secret", "9876543210987654", "[secret, secret]", "{secret: 1}"])
def test_a_bad_secret_is_told_without_itself(load: Load, value: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load(COE_SERVER__ADMIN_KEY=value)
    told = str(caught.value)
    assert told.startswith("environment variable COE_SERVER__ADMIN_KEY: server.admin_key: ")
    assert "it is not shown" in told
    assert "secret" not in told
    assert "98765" not in told


def test_of_a_value_of_the_wrong_kind_only_the_kind_is_told(mistakes: Mistakes) -> None:
    (told,) = mistakes("general: generalist", "general: [{admin_key: hidden}]")
    assert told.endswith("Input should be a valid string (it is a list).")
