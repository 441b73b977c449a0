"""`coe plan-placement`: a problem file or a service's configuration in, a plan out."""

import inspect
from pathlib import Path

import orjson
import pytest
import yaml

from coe.cli.plan_placement import plan_placement
from tests.cli.commands import Coe
from tests.workers.placement.test_sizes import write_tensors

CONFIG = """\
router: {path: router, general: general}
models:
  small: {source: "path:small"}
  large: {source: "hf:some/large", device_gb: 0.5}
  away: {url: "http://elsewhere:8000", served_name: theirs}
experts:
  general: {model: small}
  lawyer: {model: small, adapter: "path:law"}
  writer: {model: large}
  guest: {model: away}
workers:
  gpu: {device: gpu, replicas: 2, memory: {host_gb: 10}}
"""
FILE = """\
workers: {gpu: {device_gb: 1}}
experts:
  small: {service_s: 0.5}
  large: {service_s: 2, max_replicas: 1}
co_use: [{experts: [lawyer, writer]}]
"""
DEMAND = "general: 1\nlawyer: 2\nwriter: 0.25\nguest: 5\n"


@pytest.fixture
def service(tmp_path: Path) -> Path:
    """A service whose small model and adapter are local, 200 kB and 20 kB."""
    for folder, marker, weights, count in (
        ("small", "config.json", "model.safetensors", 100_000),
        ("law", "adapter_config.json", "adapter_model.safetensors", 10_000),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / marker).write_text("{}")
        write_tensors(tmp_path / folder / weights, {"a": ("BF16", count)})
    for name, text in (("service.yaml", CONFIG), ("file.yaml", FILE), ("demand.yaml", DEMAND)):
        (tmp_path / name).write_text(text)
    return tmp_path


def example() -> str:
    """The problem in the text of `--help`."""
    return inspect.cleandoc((plan_placement.__doc__ or "").partition("\b")[2]).replace("\\[", "[")


def test_the_example_of_the_help_is_a_problem(coe: Coe, tmp_path: Path) -> None:
    (tmp_path / "problem.yaml").write_text(example())
    ended = coe("plan-placement", str(tmp_path / "problem.yaml"))
    assert ended.code == 0, ended.err
    assert "edge-1" in ended.out
    assert "Maximum load" in ended.out
    shown = coe("plan-placement", "--help").out
    assert all(line.split("#")[0].rstrip() in shown for line in example().splitlines())


def test_json_tells_copies_devices_and_how_good_it_is(coe: Coe, tmp_path: Path) -> None:
    problem = {
        "workers": {"w": {"device_gb": 10, "replicas": 2}},
        "experts": {
            "hot": {"size_gb": 6, "requests_per_s": 3, "service_s": 0.5, "load_s": {"disk": 2}},
            "cold": {"size_gb": 6, "requests_per_s": 0.1, "service_s": 0.5, "load_s": {"disk": 2}},
        },
    }
    (tmp_path / "problem.json").write_bytes(orjson.dumps(problem))
    ended = coe("plan-placement", str(tmp_path / "problem.json"), "--slack", "0", "--json")
    found = orjson.loads(ended.out)
    assert found["load_unit"] == "seconds a second"
    assert found["proven"] is True
    assert [one["worker"] for one in found["copies"] if one["expert"] == "hot"] == ["w-0", "w-1"]
    assert [(one["expert"], one["tier"]) for one in found["off_device"]] == [("cold", "disk")]
    assert found["maximum_load"] == pytest.approx((3 * 0.5 + 0.1 * 2.5) / 2)
    assert [one["name"] for one in found["criteria"]] == ["maximum load", "loading", "copies"]
    assert {one["used"] for one in found["devices"]} == {6 * 10**9}
    assert "cold is off-device: swapped in on w-" in ended.err


def test_more_work_than_time_is_said(coe: Coe, tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text(
        "workers: {w: {device_gb: 9}}\nexperts: {a: {size_gb: 1, requests_per_s: 3, service_s: 1}}"
    )
    assert (
        "the maximum load is 3.00: there is more work than time" in coe("plan-placement", str(tmp_path / "p.yaml")).err
    )
    (tmp_path / "p.yaml").write_text("workers: {w: {device_gb: 9}}\nexperts: {a: {size_gb: 1, requests_per_s: 3}}")
    told = coe("plan-placement", str(tmp_path / "p.yaml")).err
    assert "loads are requests a second" in told
    assert "more work" not in told


def test_a_configuration_is_planned_by_model(coe: Coe, service: Path) -> None:
    names = [str(service / name) for name in ("file.yaml", "service.yaml", "demand.yaml")]
    ended = coe("plan-placement", names[0], "--config", names[1], "--demand", names[2], "--json")
    assert ended.code == 0, ended.err
    found = orjson.loads(ended.out)
    assert found["members"] == {"small": ["general", "lawyer"], "large": ["writer"]}
    held = {use["worker"]: use["used"] for use in found["devices"]}
    assert held.keys() == {"gpu-0", "gpu-1"}
    both, alone = sorted(held.values(), reverse=True)
    assert 220_000 <= alone < 221_000, "the base and its adapter, as measured"
    assert both == alone + 2**29, "a model's `device_gb` is in GiB; lawyer and writer are used together"
    assert sum(use["load"] for use in found["devices"]) == pytest.approx((1 + 2) * 0.5 + 0.25 * 2)
    assert "a server with a `url` has them: away" in ended.err
    table = coe("plan-placement", names[0], "--config", names[1], "--demand", names[2]).out
    assert "small: general, lawyer" in table


def test_models_of_one_family_are_never_resident_together_and_a_pinned_one_always(coe: Coe, service: Path) -> None:
    config = CONFIG.replace("device_gb: 0.5", "device_gb: 0.5, family: f").replace("replicas: 2", "replicas: 1")
    config = config.replace('path:small"', 'path:small", device_gb: 0.5, family: f').replace(
        ', adapter: "path:law"', ""
    )
    loads = "experts: {small: {service_s: 1, load_s: {disk: 1}}, large: {service_s: 1, load_s: {disk: 1}}}\n"
    (service / "file.yaml").write_text("workers: {gpu: {device_gb: 9}}\nexclusive: [{experts: [small]}]\n" + loads)
    arguments = ("plan-placement", str(service / "file.yaml"), "--config", str(service / "service.yaml"), "--json")
    for pinned, left in ((False, "large"), (True, "small")):
        text = config.replace("{model: large}", "{model: large, pin: true}") if pinned else config
        (service / "service.yaml").write_text(text)
        ended = coe(*arguments, "--demand", str(service / "demand.yaml"))
        assert [one["expert"] for one in orjson.loads(ended.out)["off_device"]] == [left], ended.err


def test_the_size_of_a_model_that_is_not_local_is_asked_for(coe: Coe, service: Path) -> None:
    (service / "service.yaml").write_text(CONFIG.replace(", device_gb: 0.5", ""))
    files = ("--config", str(service / "service.yaml"), "--demand", str(service / "demand.yaml"))
    ended = coe("plan-placement", str(service / "file.yaml"), *files)
    assert ended.code == 2
    assert (
        "experts.large.size_gb: it is missing: GB that a copy takes; with --config set the model's `device_gb`"
        in ended.err
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("workers: {gpu: {}}", "workers.gpu.device_gb: it is missing: GB that may be taken on each device"),
        ("experts: {large: {service_s: 1}}", "`service_s` is missing of small"),
        ("experts: {lawyer: {}}", "names lawyer; the configuration has small, large"),
        ("workers: {cpu: {}}", "`workers` names cpu; the configuration has gpu"),
    ],
)
def test_what_the_configuration_does_not_tell_is_asked_for(coe: Coe, service: Path, change: str, told: str) -> None:
    given = {**yaml.safe_load(FILE), **yaml.safe_load(change)}
    (service / "file.yaml").write_text(yaml.safe_dump(given))
    files = ("--config", str(service / "service.yaml"), "--demand", str(service / "demand.yaml"))
    ended = coe("plan-placement", str(service / "file.yaml"), *files)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


@pytest.mark.parametrize(
    ("demand", "told"),
    [
        ("general: 1\n", "--demand tells nothing of lawyer, writer: give requests a second, 0 where none come"),
        (DEMAND + "nobody: 1\n", "--demand names nobody; the configuration has general"),
        ("general: fast\n", "demand.yaml:1: general: requests a second, a number from 0 (it is 'fast')"),
        ("- 1\n", "the file must be a mapping"),
    ],
)
def test_a_demand_that_cannot_be_used_is_refused(coe: Coe, service: Path, demand: str, told: str) -> None:
    (service / "demand.yaml").write_text(demand)
    files = ("--config", str(service / "service.yaml"), "--demand", str(service / "demand.yaml"))
    ended = coe("plan-placement", str(service / "file.yaml"), *files)
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


def test_experts_of_one_model_on_different_workers_are_not_one_choice(coe: Coe, service: Path) -> None:
    groups = "  gpu: {device: gpu, experts: [general, writer, guest]}\n  other: {device: gpu, experts: [lawyer]}\n"
    (service / "service.yaml").write_text(CONFIG.partition("  gpu:")[0] + groups)
    ended = coe("plan-placement", "--config", str(service / "service.yaml"))
    assert ended.code == 2
    assert "general on gpu; lawyer on other" in ended.err


@pytest.mark.parametrize(
    ("problem", "told"),
    [
        ("workers: {w: {device_gb: 1}}", "experts: it is missing: the experts, by name"),
        (
            "workers: {w: {device_gb: 0}}\nexperts: {a: {size_gb: 1, requests_per_s: 1}}",
            "p.yaml:1: workers.w.device_gb:",
        ),
        ("workers: {w: {device_gb: 1, gpus: 3}}\nexperts: {a: {size_gb: 1, requests_per_s: 1}}", "w.gpus: unknown key"),
        ("workers: {w: {device_gb: 1}}\nexperts: {a: {size_gb: 9, requests_per_s: 1}}", "`a` fits no worker"),
        (
            "workers: {w: {device_gb: 9}}\nexperts: {a: {size_gb: 1, requests_per_s: 1, load_s: {disk: 1}}}",
            "`service_s` is missing of a",
        ),
    ],
)
def test_a_problem_that_cannot_be_used_is_refused(coe: Coe, tmp_path: Path, problem: str, told: str) -> None:
    (tmp_path / "p.yaml").write_text(problem)
    ended = coe("plan-placement", str(tmp_path / "p.yaml"))
    assert (ended.code, ended.out) == (2, "")
    assert told in ended.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [((), "Name what to place"), (("p.yaml", "--demand", "d.yaml"), "--demand is for the experts")],
)
def test_what_is_not_named_is_asked_for(coe: Coe, arguments: tuple[str, ...], told: str) -> None:
    ended = coe("plan-placement", *arguments)
    assert ended.code == 2
    assert told in ended.err
