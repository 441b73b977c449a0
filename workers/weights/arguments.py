"""How vLLM is started so that its weights can be replaced: nothing goes in, arguments and variables come out."""

import os
from collections.abc import Mapping
from pathlib import Path

from workers.engine_control import control_environment
from workers.spec import Device

EXTENSION = "workers.weights.extension.WeightsExtension"
_ROOT = Path(__file__).parents[2]


def replaceable_arguments() -> list[str]:
    """For the command line of vLLM's OpenAI server."""
    return ["--worker-extension-cls", EXTENSION]


def replaceable_environment(device: Device, inherited: Mapping[str, str]) -> dict[str, str]:
    """On top of `inherited`: control endpoints, and this package where the engine's processes can import it."""
    paths = [str(_ROOT), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    variables = {**control_environment(), "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
    if (
        device == "cpu"
    ):  # engines run eagerly there: only log-probabilities would be compiled, at a first request's cost
        variables["TORCH_COMPILE_DISABLE"] = "1"
    return variables
