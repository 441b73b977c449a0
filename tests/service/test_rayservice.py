"""The Serve configuration of the Kubernetes manifest, sent to a Ray head as KubeRay sends it."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from coe.store.embedded import EmbeddedRedis
from tests.deploy.manifests import environment_of_base, serve_config_of_base
from tests.service.running import REPOSITORY, free_port
from tests.service.test_faults import ScriptedEngine, ask, attached_config

pytestmark = [pytest.mark.service, pytest.mark.timeout(300)]

TOKEN = "a-token-of-the-cluster-that-nobody-guesses"


@dataclass(frozen=True, slots=True)
class RayHead:
    """A head whose operator knows the token. `folder` is short, because sockets are in it."""

    dashboard: str
    agent: str
    folder: Path

    def applications(self, method: str, body: dict[str, Any] | None = None, token: str = TOKEN) -> httpx.Response:
        headers = {"authorization": f"Bearer {token}"}
        return httpx.request(
            method, f"{self.dashboard}/api/serve/applications/", json=body, headers=headers, timeout=60
        )


@pytest.fixture
def head() -> Iterator[RayHead]:
    """`ray start --head` as the operator starts it, but with files and ports of this test's own."""
    with tempfile.TemporaryDirectory(prefix="coe-") as made, EmbeddedRedis(Path(made)) as redis:
        folder, gcs, dashboard, agent = Path(made), free_port(), free_port(), free_port()
        (folder / "metrics").mkdir()
        environment = _environment(folder, f"127.0.0.1:{gcs}") | {"COE_REDIS__URL": redis.url}
        ports = [f"--port={gcs}", f"--dashboard-port={dashboard}", f"--dashboard-agent-listen-port={agent}"]
        ports.append(f"--ray-client-server-port={free_port()}")
        command = [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block", "--labels=pool=cpu"]
        command += ["--include-dashboard=true", f"--temp-dir={folder / 'ray'}", *ports]
        log = (folder / "head.log").open("wb")
        with log, subprocess.Popen(command, env=environment, stdout=log, stderr=log) as process:
            started = RayHead(f"http://127.0.0.1:{dashboard}", f"http://127.0.0.1:{agent}", folder)
            try:
                _until(lambda: _answers(f"{started.dashboard}/api/gcs_healthz"), "the head's probes")
                _until(lambda: _answers(f"{started.agent}/api/local_raylet_healthz"), "the workers' startup probe")
                yield started
            finally:
                below = psutil.Process(process.pid).children(recursive=True)
                process.terminate()
                process.wait(60)
                for left in psutil.wait_procs(below, timeout=10)[1]:
                    left.kill()


def _environment(folder: Path, address: str) -> dict[str, str]:
    """What the manifest and the operator set in a pod; files and ports are none that another service here has."""
    haproxy, first = folder / "haproxy", free_port()
    private = {
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "metrics"),
        "RAY_ADDRESS": address,
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": TOKEN,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        # Services that count from Ray's own first port reach each other's gateways.
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(min(first + 200, 65535)),
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(free_port()),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(free_port()),
        "PYTHONPATH": str(REPOSITORY),
    }
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return inherited | environment_of_base() | private


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False


def _until(holds: Callable[[], bool], what: str, seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.5)


def test_the_manifests_application_answers_on_a_cluster_that_asks_for_a_token(head: RayHead) -> None:
    engine = ScriptedEngine()
    try:
        service = attached_config(engine)
        service["workers"] = {"first": {"nodes": {"pool": "cpu"}}}
        (head.folder / "service.yaml").write_text(yaml.safe_dump(service))
        config, port = serve_config_of_base(), free_port()
        config["http_options"]["port"] = port
        (application,) = config["applications"]
        application["args"] = {"config": str(head.folder / "service.yaml"), "run_dir": str(head.folder)}
        assert head.applications("PUT", config, token="another").status_code == 403
        sent = head.applications("PUT", config)
        assert sent.status_code == 200, sent.text

        def runs() -> bool:
            found = head.applications("GET").json()["applications"][application["name"]]
            assert found["status"] not in {"DEPLOY_FAILED", "UNHEALTHY"}, found["message"]
            return bool(found["status"] == "RUNNING")

        _until(runs, "the application")
        url = f"http://127.0.0.1:{port}"
        _until(lambda: _answers(f"{url}/ready"), "the workers' readiness probe")
        answer = ask(url)
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-coe-expert"] == "steady"
        assert "coe_requests_total" in httpx.get(f"{url}/metrics", timeout=10).text
    finally:
        engine.close()
