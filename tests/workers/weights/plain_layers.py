"""The extension as on a GPU, in engines of vLLM on a CPU: kernels that read the registered weights, and images.

Imported in the engine's process, before the model is loaded.
"""

import vllm._custom_ops as vllm_ops
from vllm.model_executor.layers import utils as vllm_layers

from workers.weights.extension import WeightsExtension
from workers.weights.host_store import HostStore

vllm_ops._supports_onednn = False
vllm_layers.check_cpu_sgl_kernel = lambda n, k, dtype: False


class PlainWeightsExtension(WeightsExtension):
    def coe_weights_held(self) -> dict[str, object]:  # what a slot asks for first
        if not hasattr(self, "_coe_weights_store"):
            self._coe_weights_store = HostStore(self.device, keep_images=True)
        return super().coe_weights_held()
