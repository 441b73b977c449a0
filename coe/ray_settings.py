"""Settings that Ray reads from the environment of its processes, on every machine that the service runs on.

`coe serve` sets them; whatever else starts Ray for the service has to (deploy/kubernetes).
"""

from __future__ import annotations

RAY_SETTINGS = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "0.1",
    # `server.request_timeout_s`: HAProxy starts anew when a gateway comes or goes; what the old one streams may end.
    "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "600",
    "RAY_SERVE_HAPROXY_NBTHREAD": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    # Ray would kill the engines' reapers before they have ended the engines.
    "RAY_kill_child_processes_on_worker_exit": "0",
}
