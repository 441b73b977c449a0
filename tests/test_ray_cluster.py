"""What Ray Serve is told, so that services on one machine do not meet."""

from pathlib import Path

import pytest

from coe.ray_cluster import serve_variables
from coe.runtime import Runtime


@pytest.fixture
def runtime(tmp_path: Path) -> Runtime:
    return Runtime(run_dir=tmp_path, log_file=tmp_path / "log", redis_url="redis://x", token="t", local=False)


def test_no_port_is_ray_serves_own_or_another_services(runtime: Runtime) -> None:
    one, other = (
        {name: value for name, value in serve_variables(runtime).items() if name.endswith("_PORT")} for _ in range(2)
    )
    fallback = {"RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": "8500", "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": "9500"}
    assert fallback.keys() <= one.keys()
    assert not one.items() & (other | fallback).items()
