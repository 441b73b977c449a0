"""What is mixed into vLLM's workers: the methods by which our workers ask for what vLLM's server has no endpoint for.

`--worker-extension-cls` is vLLM's own extension point and takes one class; `extension_arguments` start it.
"""

from workers.engine.adapter_slots import AdapterSlotsExtension
from workers.weights.extension import WeightsExtension


class EngineExtension(WeightsExtension, AdapterSlotsExtension):
    """All of them. Names begin with `coe_`, so that they meet none of vLLM's."""
