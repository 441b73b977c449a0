"""What docker-compose.yml, the Dockerfile, .env.example and their configurations promise, read without Docker."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from coe.config.load import load_config
from tests.cli.commands import run
from tests.compose.compose_file import Service, defaults, read_services

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text(encoding="utf-8")
WITHOUT_PROFILE = {"redis", "head", "worker"}
SERVICES = read_services(COMPOSE, {})
PINNED = re.compile(r"[\w./-]+:[\w.-]*\d[\w.-]*(@sha256:[0-9a-f]{64})?")


@pytest.fixture(params=list(SERVICES.values()), ids=list(SERVICES))
def service(request: pytest.FixtureRequest) -> Service:
    found: Service = request.param
    return found


def test_without_a_profile_there_are_redis_head_and_a_cpu_worker() -> None:
    assert {name for name, service in SERVICES.items() if not service.get("profiles")} == WITHOUT_PROFILE


def test_only_the_api_is_published_and_only_to_this_machine() -> None:
    assert {name: SERVICES[name].get("ports", []) for name in WITHOUT_PROFILE} == {
        "redis": [],
        "head": ["127.0.0.1:8000:8000"],
        "worker": [],
    }


def test_no_profile_opens_a_port_to_the_network(service: Service) -> None:
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_every_service_is_started_again_checked_and_confined(service: Service) -> None:
    assert service["restart"] == "unless-stopped"
    assert service["healthcheck"].keys() >= {"test", "interval", "timeout", "retries", "start_period"}
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True


def test_no_stage_that_is_served_runs_as_root() -> None:
    stages = dict(_stages())
    served = {service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert served == {"cpu", "gpu", "redis"}
    for name in served:
        users = re.findall(r"^USER (\S+)$", stages[name], re.MULTILINE)
        assert users, f"the stage `{name}` runs as root"
        assert users[-1] not in {"root", "0"}
        assert not any(SERVICES[other].get("user") for other in SERVICES), "docker-compose.yml changes the user"


def test_a_service_starts_after_what_it_needs() -> None:
    assert SERVICES["head"]["depends_on"] == {"redis": {"condition": "service_healthy"}}
    assert SERVICES["worker"]["depends_on"] == {"head": {"condition": "service_started"}}
    assert SERVICES["grafana"]["depends_on"] == {"prometheus": {"condition": "service_healthy"}}


def test_models_and_redis_data_outlive_the_containers() -> None:
    volumes = yaml.safe_load(COMPOSE.read_text(encoding="utf-8"))["volumes"]
    assert volumes.keys() == {"models", "cluster", "redis", "prometheus", "grafana"}
    for name in ("head", "worker", "worker-gpu"):
        assert "models:/var/lib/coe" in SERVICES[name]["volumes"]
    assert "redis:/data" in SERVICES["redis"]["volumes"]


def test_nodes_share_a_token_that_no_file_of_the_project_holds() -> None:
    for name in ("head", "worker", "worker-gpu"):
        assert SERVICES[name]["environment"]["RAY_AUTH_MODE"] == "token"
        assert SERVICES[name]["environment"]["RAY_AUTH_TOKEN_PATH"].startswith("/var/lib/coe-cluster/")
        assert "cluster:/var/lib/coe-cluster" in SERVICES[name]["volumes"]


def test_the_gpu_worker_reserves_gpus_on_vllms_image() -> None:
    worker = SERVICES["worker-gpu"]
    assert worker["deploy"]["resources"]["reservations"]["devices"] == [
        {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    ]
    assert dict(_stages())["gpu"].startswith("FROM ${VLLM_IMAGE} AS gpu")


def test_images_are_pinned() -> None:
    pulled = {name: value for name, value in defaults(COMPOSE).items() if name.endswith("_IMAGE")}
    assert len(pulled) == 5
    for name, image in pulled.items():
        assert PINNED.fullmatch(image), f"{name} names no version: {image}"
    for name, value in re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE, re.MULTILINE):
        assert defaults(COMPOSE)[name] == value, f"the Dockerfile has another {name}"


def test_a_digest_may_take_the_place_of_a_tag() -> None:
    pinned = "redis:7-bookworm@sha256:" + "0" * 64
    assert read_services(COMPOSE, {"REDIS_IMAGE": pinned})["redis"]["build"]["args"]["REDIS_IMAGE"] == pinned


def test_the_example_lists_every_variable_with_its_default() -> None:
    example = (ROOT / ".env.example").read_text(encoding="utf-8")
    assert dict(re.findall(r"^# ([A-Z][A-Z0-9_]+)=(\S*)$", example, re.MULTILINE)) == defaults(COMPOSE)


def test_the_build_sees_nothing_that_it_does_not_copy() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert lines[1] == "*"
    shown = {line.removeprefix("!") for line in lines if line.startswith("!")}
    copied = {name for line in re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE, re.MULTILINE) for name in line.split()}
    assert shown == copied - {"deploy/docker/entrypoint"} | {"deploy/docker"}
    assert all((ROOT / name).exists() for name in copied)


@pytest.mark.parametrize("name", ["compose.yaml", "compose-gpu.yaml"])
def test_the_configurations_fit_the_compose_file(name: str) -> None:
    config = load_config(ROOT / "configs" / name, {}).config
    assert (config.server.host, config.server.port) == ("0.0.0.0", 8000)
    assert config.redis.url == "redis://redis:6379/0"
    assert config.cluster is not None
    assert config.cluster.port == 6379
    (group,) = config.workers.values()
    labels = {f"{key}={value}" for key, value in group.nodes.items()}
    worker = SERVICES["worker" if group.device == "cpu" else "worker-gpu"]
    assert worker["command"] == ["join", "head", "--label", *labels]


@pytest.mark.parametrize("name", ["compose.yaml", "compose-gpu.yaml"])
def test_the_configurations_pass_the_check(name: str) -> None:
    ended = run("check", str(ROOT / "configs" / name))
    assert (ended.code, ended.err) == (0, "")


def test_compose_serves_what_local_serves() -> None:
    composed, local = (load_config(ROOT / "configs" / name, {}).config for name in ("compose.yaml", "local.yaml"))
    assert (composed.models, composed.experts, composed.router) == (local.models, local.experts, local.router)


def _stages() -> Iterator[tuple[str, str]]:
    """Name and text of each stage of the Dockerfile."""
    for text in re.split(r"^(?=FROM )", DOCKERFILE, flags=re.MULTILINE)[1:]:
        yield text.split()[3], text
