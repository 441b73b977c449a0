"""A real model of vLLM, on a CPU and without an engine, whose kernels read registered weights, as those on a GPU do.

`python plain_model.py FIRST SECOND`: two checkpoints of a family are loaded, held as images, and put back in turns.
Out: JSON, what an image would miss and whether everything that came back, and what kernels make of it, was the same.
"""

import json
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ |= {"HF_HUB_OFFLINE": "1", "TORCH_COMPILE_DISABLE": "1", "VLLM_LOGGING_LEVEL": "ERROR"}

import torch
import vllm._custom_ops as vllm_ops
from vllm.config import set_current_vllm_config
from vllm.distributed import ensure_model_parallel_initialized, init_distributed_environment
from vllm.engine.arg_utils import EngineArgs
from vllm.model_executor.layers import utils as vllm_layers
from vllm.model_executor.model_loader import get_model
from vllm.model_executor.model_loader.reload.inplace import reload_weights

from workers.weights.host_store import HostStore
from workers.weights.image import live_tensors, loose_values

torch.accelerator.empty_cache = lambda: None  # vLLM's loader asks for it, and PyTorch raises where there is no GPU
vllm_ops._supports_onednn = False  # no packed copies: neither oneDNN's
vllm_layers.check_cpu_sgl_kernel = lambda n, k, dtype: False  # nor those of other kernels


def images_in_turns(folders: list[Path]) -> dict[str, object]:
    config = EngineArgs(
        model=str(folders[0]), dtype="bfloat16", enforce_eager=True, max_model_len=512
    ).create_engine_config()
    with set_current_vllm_config(config), tempfile.TemporaryDirectory() as meeting, torch.no_grad():
        init_distributed_environment(1, 0, f"file://{meeting}/f", 0, backend="gloo")
        ensure_model_parallel_initialized(1, 1)
        model: torch.nn.Module = get_model(vllm_config=config)
        asked = torch.randn(4, model.config.hidden_size, dtype=torch.bfloat16)

        def state() -> list[torch.Tensor]:
            """Every tensor, and what kernels make of them: of a layer, and of the output layer, which is tied."""
            answers = [model.model.layers[0].mlp(asked), model.lm_head.quant_method.apply(model.lm_head, asked)]
            return [tensor.clone() for tensor in (*live_tensors(model).values(), *answers)]

        store = HostStore(torch.device("cpu"), keep_images=True)
        loaded: dict[str, list[torch.Tensor]] = {}
        for folder in folders:
            store.fetch(folder.name, sorted(folder.glob("*.safetensors")))
            while store.fetched(folder.name) is None:
                time.sleep(0.01)
            copy = store.copy(folder.name)
            assert copy is not None
            reload_weights(config, model, store.on_device(copy), None, True)
            loaded[folder.name] = state()
            store.keep_image(folder.name, model)
        same = []
        for folder in (*folders, *folders):
            image = store.image(folder.name)
            assert image is not None, loose_values(model)
            store.install(image, model)
            same.append(all(map(torch.equal, state(), loaded[folder.name])))
        first, second = (loaded[folder.name][-2:] for folder in folders)
        return {"missed": loose_values(model), "same": same, "alike": list(map(torch.equal, first, second))}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(images_in_turns([Path(folder) for folder in sys.argv[1:]])) + "\n")
