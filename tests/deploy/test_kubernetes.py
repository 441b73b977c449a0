"""The Kubernetes manifests: what kustomize renders is valid, whole, unprivileged, and agrees with the code."""

from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # it ships no types
import pytest
from kubernetes_validate import validate  # type: ignore[import-untyped]  # it ships no types
from ray.serve.schema import ServeDeploySchema

from coe.application import Arguments, build
from coe.config.load import load_config
from coe.config.models import Config, ServerConfig
from coe.ray_settings import RAY_SETTINGS
from tests.deploy.manifests import (
    KUBERNETES,
    OVERLAYS,
    Manifest,
    environment_of_base,
    of_kind,
    pod_templates,
    ray_service,
    read,
    render,
    serve_config_of_base,
)
from tests.deploy.rayservice import RAY_SERVICE

CONFIGS = KUBERNETES.parents[1] / "configs"
SHIPPED = {"cpu": "local.yaml", "gpu": "gpu.yaml"}
RELEASE = "1.37"


@pytest.fixture(params=OVERLAYS)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(request.param)


def all_pod_specs(manifests: list[Manifest]) -> Iterator[Manifest]:
    yield from (template["spec"] for template in pod_templates(ray_service(manifests)).values())
    yield from (one["spec"]["template"]["spec"] for one in of_kind("StatefulSet", manifests))


def test_kubernetes_own_kinds_follow_its_schemas(manifests: list[Manifest]) -> None:
    for manifest in manifests:
        if manifest["kind"] != "RayService":
            validate(manifest, RELEASE, strict=True)


def test_the_ray_service_follows_the_part_of_its_definition_that_is_known_here(manifests: list[Manifest]) -> None:
    jsonschema.validate(ray_service(manifests), RAY_SERVICE)


def test_its_pods_and_its_service_follow_kubernetes_schemas(manifests: list[Manifest]) -> None:
    service = ray_service(manifests)
    for name, template in pod_templates(service).items():
        pod = {"apiVersion": "v1", "kind": "Pod", **template, "metadata": {"name": name, **template["metadata"]}}
        validate(pod, RELEASE, strict=True)
    validate({"apiVersion": "v1", "kind": "Service", **service["spec"]["serveService"]}, RELEASE, strict=True)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("spec", "serveConfig"), "applications: []"),
        (("spec", "rayClusterConfig", "authOptions", "mode"), "tokens"),
        (("spec", "rayClusterConfig", "workerGroupSpecs", 0, "replica"), 2),
        (("spec", "rayClusterConfig", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
    ],
)
def test_a_mistake_in_the_ray_service_would_be_found(path: tuple[str | int, ...], value: object) -> None:
    broken: Any = ray_service(read(KUBERNETES / "base" / "rayservice.yaml"))
    section = broken
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(broken, RAY_SERVICE)


def test_ray_serve_reads_its_configuration_and_finds_the_builder() -> None:
    config = ServeDeploySchema.model_validate(serve_config_of_base())
    (application,) = config.applications
    module, _, name = application.import_path.partition(":")
    assert (module, name) == (build.__module__, build.__name__)
    assert Arguments.model_validate(application.args).config == Path("/srv/coe/configs/service.yaml")


def test_the_cluster_has_the_ray_that_is_locked() -> None:
    cluster = ray_service(read(KUBERNETES / "base" / "rayservice.yaml"))["spec"]["rayClusterConfig"]
    assert cluster["rayVersion"] == version("ray")


def test_ray_has_the_settings_that_coe_serve_gives_it() -> None:
    environment = environment_of_base()
    assert {name: environment.get(name) for name in RAY_SETTINGS} == RAY_SETTINGS


def test_what_an_old_haproxy_streams_may_end() -> None:
    assert float(RAY_SETTINGS["RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S"]) == ServerConfig().request_timeout_s


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_configuration_of_an_overlay_is_the_one_that_ships(overlay: str) -> None:
    shipped = (CONFIGS / SHIPPED[overlay]).read_text()
    assert (KUBERNETES / "overlays" / overlay / "service.yaml").read_text() == shipped, "copy it again"


def test_configuration_and_environment_together_are_a_service_that_others_reach(manifests: list[Manifest]) -> None:
    """Also that pods name the very ConfigMaps that are generated, whose names change with their content."""
    generated = {one["metadata"]["name"]: one["data"] for one in of_kind("ConfigMap", manifests)}
    for template in pod_templates(ray_service(manifests)).values():
        pod = template["spec"]
        (environment,) = (
            one["configMapRef"]["name"] for one in _ray_container(pod)["envFrom"] if "configMapRef" in one
        )
        mounted = {one["name"]: one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one}
        configuration = mounted["configuration"]
        assert set(mounted.values()) | {environment} == generated.keys()
        config = effective(generated[configuration]["service.yaml"], generated[environment])
        assert config.server.host == "0.0.0.0"
        assert config.redis.url == "redis://redis:6379/1"
        groups = ray_service(manifests)["spec"]["rayClusterConfig"]["workerGroupSpecs"]
        for worker in config.workers.values():
            fitting = [group for group in groups if worker.nodes.items() <= group.get("labels", {}).items()]
            assert sum(group["replicas"] for group in fitting) >= (worker.replicas if worker.nodes else 1)


def effective(text: str, environment: dict[str, str]) -> Config:
    """The configuration that the application reads, in a pod with this environment."""
    shipped = next(file for file in CONFIGS.glob("*.yaml") if file.read_text() == text)
    return load_config(shipped, environment).config


def test_names_lead_to_what_is_there(manifests: list[Manifest]) -> None:
    claims = {one["metadata"]["name"] for one in of_kind("PersistentVolumeClaim", manifests)}
    labels = [template["metadata"]["labels"] for template in pod_templates(ray_service(manifests)).values()]
    labels += [one["spec"]["template"]["metadata"]["labels"] for one in of_kind("StatefulSet", manifests)]
    for pod in all_pod_specs(manifests):
        mounted = {one["name"] for container in pod["containers"] for one in container["volumeMounts"]}
        assert mounted - {"data"} <= {volume["name"] for volume in pod.get("volumes", [])}
        used = {
            one["persistentVolumeClaim"]["claimName"]
            for one in pod.get("volumes", [])
            if "persistentVolumeClaim" in one
        }
        assert used <= claims
    selectors = [one["spec"]["selector"] for one in of_kind("Service", manifests)]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in of_kind("PodDisruptionBudget", manifests)]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of_kind("NetworkPolicy", manifests)]
    for selector in selectors:
        assert any(selector.items() <= label.items() for label in labels), selector


def test_probes_name_ports_that_are_open(manifests: list[Manifest]) -> None:
    for pod in all_pod_specs(manifests):
        main = pod["containers"][0]
        ports = {port["name"] for port in main["ports"]}
        for kind in ("startupProbe", "livenessProbe", "readinessProbe"):
            probe = main[kind]
            named = [probe[how]["port"] for how in ("httpGet", "tcpSocket") if how in probe]
            assert {port for port in named if isinstance(port, str)} <= ports


def test_a_start_may_take_longer_than_a_hang_may_last(manifests: list[Manifest]) -> None:
    for pod in all_pod_specs(manifests):
        startup, liveness = (pod["containers"][0][kind] for kind in ("startupProbe", "livenessProbe"))
        allowed_s = startup["periodSeconds"] * startup["failureThreshold"]
        assert allowed_s >= liveness["periodSeconds"] * liveness["failureThreshold"]


def test_no_container_is_root_or_may_become_it(manifests: list[Manifest]) -> None:
    """What the Pod Security Standard `restricted` asks of the fields that these pods have."""
    for pod in all_pod_specs(manifests):
        identity = pod["securityContext"]
        assert identity["runAsNonRoot"] is True
        assert identity["runAsUser"] > 0
        assert identity["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        assert not any(key in pod for key in ("hostNetwork", "hostPID", "hostIPC"))
        assert not any("hostPath" in volume for volume in pod.get("volumes", []))
        for container in pod["containers"]:
            assert container["securityContext"]["allowPrivilegeEscalation"] is False
            assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_the_gpu_worker_has_the_gpus_that_its_configuration_takes() -> None:
    config = load_config(CONFIGS / "gpu.yaml", {}).config
    wanted = sum(
        worker.replicas
        * max(config.models[config.experts[name].model].tensor_parallel for name in config.experts_of(group))
        for group, worker in config.workers.items()
    )
    (group,) = ray_service(render("gpu"))["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert int(limits["nvidia.com/gpu"]) * group["replicas"] == wanted


@pytest.mark.parametrize("file", sorted(KUBERNETES.rglob("kustomization.yaml")), ids=lambda file: file.parent.name)
def test_kustomizations_name_files_that_exist(file: Path) -> None:
    """Where nothing renders them, this still finds a file that was renamed."""
    (kustomization,) = read(file)
    patches = [patch["path"] for patch in kustomization.get("patches", [])]
    generated = [name for one in kustomization.get("configMapGenerator", []) for name in one.get("files", [])]
    named = [*kustomization["resources"], *kustomization.get("configurations", []), *patches, *generated]
    assert all((file.parent / name).exists() for name in named)
    used = {name for name in (*named, file.name) if "/" not in name}
    assert {other.name for other in file.parent.iterdir()} == used


def _ray_container(pod: Manifest) -> Manifest:
    """Ray's own is the first, as the operator expects it."""
    container = pod["containers"][0]
    assert isinstance(container, dict)
    return container
