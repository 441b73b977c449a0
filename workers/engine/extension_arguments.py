"""How vLLM is started with our methods in its workers: nothing goes in, arguments and variables come out."""

import os
from collections.abc import Mapping
from pathlib import Path

from workers.engine.control import control_environment

EXTENSION = "workers.engine.extension.EngineExtension"
_ROOT = Path(__file__).parents[2]


def extension_arguments() -> list[str]:
    """For the command line of vLLM's OpenAI server."""
    return ["--worker-extension-cls", EXTENSION]


def extension_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """On top of `inherited`: control endpoints, and this package where the engine's processes can import it."""
    paths = [str(_ROOT), *filter(None, inherited.get("PYTHONPATH", "").split(os.pathsep))]
    return {**control_environment(), "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths))}
