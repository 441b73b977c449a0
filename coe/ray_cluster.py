"""The Ray that a service runs on: a private one, one that other machines may join, or the one that RAY_ADDRESS names.

In: the runtime and the configuration's `cluster`. Out: this process as a driver of that Ray, until the stack is left.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable

from coe.config.models import ClusterConfig
from coe.errors import StartupError
from coe.haproxy import unspliced_haproxy
from coe.ray_node import (
    AUTH_REMEDY,
    Offer,
    RayNode,
    free_port,
    has_token,
    head_arguments,
    metrics_folder,
    use_token,
)
from coe.ray_settings import RAY_SETTINGS
from coe.runtime import RAY_ADDRESS, Runtime
from coe.telemetry.metrics import MULTIPROC_VARIABLE
from coe.tracing.collector import PREFIX

REPLICA_PORTS = 200
_PORTS = ("HAPROXY_METRICS", "HAPROXY_STATS", "FALLBACK_PROXY_HTTP", "FALLBACK_PROXY_GRPC")


def start_ray(
    stack: contextlib.ExitStack, runtime: Runtime, cluster: ClusterConfig | None, say: Callable[[str], None]
) -> RayNode | None:
    """Returns the head that was started for others to join, if one was.

    Args:
        stack: takes what ends Ray again.
        runtime: of the service; says which Ray it is.
        cluster: where others join, for a head.
        say: told what a person should know.

    Raises:
        StartupError: Ray did not start, or no cluster answers.
    """
    shared = serve_variables(runtime) | _tracing_variables()
    metrics = {MULTIPROC_VARIABLE: str(metrics_folder(runtime.run_dir))}
    os.environ.update(shared | metrics)
    if not runtime.local:
        use_token()
    import ray  # noqa: PLC0415  # reads the variables when imported

    if runtime.local:
        stack.callback(ray.shutdown)
        temporary = str(runtime.run_dir / "ray")
        ray.init(
            address="local", include_dashboard=False, log_to_driver=False, logging_level="error", _temp_dir=temporary
        )
        return None
    head = None
    address, host = os.environ.get(RAY_ADDRESS), None
    if runtime.head:
        assert cluster is not None, "only a configured cluster has a head here"
        host = cluster.host or ray.util.get_node_ip_address()
        address = f"{host}:{cluster.port}"
        head = _start_head(stack, runtime, cluster, host)
        say(_invitation(address))
    else:
        shared |= metrics  # the nodes are not ours, so each is told by the driver
    stack.callback(ray.shutdown)  # after the head was entered, so that it ends last
    try:
        ray.init(
            address=address,
            log_to_driver=False,
            logging_level="error",
            runtime_env={"env_vars": shared},
            _node_ip_address=host,
        )
    except ConnectionError as error:
        raise StartupError(f"No Ray cluster answers at {address}: {error}. {AUTH_REMEDY}") from error
    return head


def _start_head(stack: contextlib.ExitStack, runtime: Runtime, cluster: ClusterConfig, host: str) -> RayNode:
    # The service has drained itself by then; a node's own draining would wait for the other machines.
    os.environ.setdefault("RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S", "0")
    head = RayNode(head_arguments(cluster.port), Offer(labels=cluster.labels, host=host), runtime.run_dir)
    stack.callback(head.stop)
    head.start()
    return head


def _invitation(address: str) -> str:
    joined = f"other machines join with `coe join {address}`"
    if address.startswith("127."):
        joined += " (a loopback address: set `cluster.host` to one that they reach)"
    if not has_token():
        joined += (
            "; Ray has no token, so whoever reaches this port can run code here: make one with "
            "`ray get-auth-token --generate` and give it to each machine"
        )
    return joined


def _tracing_variables() -> dict[str, str]:
    """What OpenTelemetry is told here, for the processes on other machines."""
    return {name: value for name, value in os.environ.items() if name.startswith(PREFIX)}


def serve_variables(runtime: Runtime) -> dict[str, str]:
    """Ray Serve's fast HTTP path, with every file and port of HAProxy private to this service."""
    haproxy = runtime.run_dir / "haproxy"
    # On a cluster that is not ours HAProxy may run on another machine, from a path that is there.
    unspliced = unspliced_haproxy(runtime.run_dir) if runtime.local or runtime.head else None
    first_replica_port = free_port()  # two services that count from Ray's own first port reach each other's gateways
    return {
        **RAY_SETTINGS,
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(haproxy / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(haproxy / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(haproxy),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(haproxy / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(haproxy / "metrics.sock"),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(first_replica_port),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(min(first_replica_port + REPLICA_PORTS, 65535)),
        # HAProxy asks the fallback until a gateway is there; on Ray's own port that of another service would answer.
        **{f"RAY_SERVE_{name}_PORT": str(free_port()) for name in _PORTS},
        **({"RAY_SERVE_HAPROXY_BINARY_PATH": str(unspliced)} if unspliced else {}),
    }
