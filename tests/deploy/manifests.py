"""The Kubernetes manifests, read as files or as kustomize renders them."""

import shutil
import subprocess
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import yaml

KUBERNETES = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("cpu", "gpu")
Manifest: TypeAlias = dict[str, Any]


def render(overlay: str) -> list[Manifest]:
    """What `kubectl apply -k` would send; the test is skipped where neither kubectl nor kustomize is installed."""
    if shutil.which("kubectl"):
        command = ["kubectl", "kustomize"]
    elif shutil.which("kustomize"):
        command = ["kustomize", "build"]
    else:
        pytest.skip("neither kubectl nor kustomize is installed")
    done = subprocess.run(
        [*command, str(KUBERNETES / "overlays" / overlay)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return list(yaml.safe_load_all(done.stdout))


def read(file: Path) -> list[Manifest]:
    """The documents of one file."""
    return list(yaml.safe_load_all(file.read_text()))


def of_kind(kind: str, manifests: list[Manifest]) -> list[Manifest]:
    return [manifest for manifest in manifests if manifest["kind"] == kind]


def ray_service(manifests: list[Manifest]) -> Manifest:
    (found,) = of_kind("RayService", manifests)
    return found


def pod_templates(service: Manifest) -> dict[str, Manifest]:
    """The head's and the workers', by the group's name."""
    cluster = service["spec"]["rayClusterConfig"]
    workers = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"]} | workers


def environment_of_base() -> dict[str, str]:
    """Of all pods of the service."""
    (base,) = read(KUBERNETES / "base" / "kustomization.yaml")
    (generated,) = (one for one in base["configMapGenerator"] if one["name"] == "coe-environment")
    return dict(literal.split("=", 1) for literal in generated["literals"])


def serve_config_of_base() -> Manifest:
    """What KubeRay sends to Ray Serve."""
    config = yaml.safe_load(ray_service(read(KUBERNETES / "base" / "rayservice.yaml"))["spec"]["serveConfigV2"])
    assert isinstance(config, dict)
    return config
