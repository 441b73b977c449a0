"""The service as a Ray Serve application for Ray that somebody else starts: `import_path: coe.application:build`.

In: the arguments of a Serve configuration (`serve deploy`, KubeRay's `serveConfigV2`). Out: what `coe serve` would run
on a cluster. Ray's processes need the settings of `coe.ray_settings` and a folder `PROMETHEUS_MULTIPROC_DIR` in their
environment; Serve's own `http_options` say where it listens.
"""

# No `from __future__ import annotations`: Ray Serve looks at the class that annotates the argument.

import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict
from ray import serve

from coe.checks import check_service
from coe.config.load import load_config
from coe.config.problem import Problem
from coe.graph import Setup, build_application
from coe.runtime import Runtime

LOG_FILE = "service.log"


class Arguments(BaseModel):
    """`config`: the service's YAML file. `run_dir`: a short path to a folder that every node has of its own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    config: Path
    run_dir: Path


def build(arguments: Arguments) -> serve.Application:
    """Bind the deployments, on whatever node Serve chooses for it.

    Raises:
        ConfigError: the configuration would not start here, or has no Redis that all nodes reach.
    """
    loaded = load_config(arguments.config)
    redis_url = loaded.config.redis.url
    if redis_url is None:
        problem = Problem(("redis", "url"), "required key is missing: set it to a Redis that all nodes reach.")
        raise loaded.error([problem])
    check_service(loaded)
    log_file = loaded.config.logs.file
    runtime = Runtime(
        run_dir=arguments.run_dir,
        log_file=loaded.path(log_file) if log_file else arguments.run_dir / LOG_FILE,
        redis_url=redis_url,
        token=secrets.token_urlsafe(16),
        local=False,
    )
    return build_application(Setup(loaded, runtime))
