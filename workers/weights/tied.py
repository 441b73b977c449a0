"""Layers that share a weight: a model goes in, and those that kept something of the old weight read the new one.

vLLM reloads a shared weight through one of its layers alone. On a CPU the other has packed its own copy of it for its
kernel (an output layer tied to the embedding, say), and would go on answering with that.
"""

from collections import defaultdict
from collections.abc import Set as AbstractSet
from typing import Any

import torch


def repack_tied_layers(model: torch.nn.Module, loaded: AbstractSet[str]) -> list[str]:
    """Let every layer that shares a weight pack it again, but those that were loaded; their names.

    `loaded`: the names of the checkpoint's tensors. The packing is the one that vLLM does after every load.
    """
    repacked = []
    for layers in _sharing(model).values():
        for name, layer in layers if len(layers) > 1 else ():
            if f"{name}.weight" not in loaded:
                layer.quant_method.process_weights_after_loading(layer)
                repacked.append(name)
    return repacked


def _sharing(model: torch.nn.Module) -> dict[int, list[tuple[str, Any]]]:
    """Layers that vLLM packs weights of, by where the weight lies."""
    found: dict[int, list[tuple[str, Any]]] = defaultdict(list)
    for name, layer in model.named_modules():
        weight = getattr(layer, "weight", None)
        packs = hasattr(getattr(layer, "quant_method", None), "process_weights_after_loading")
        if packs and isinstance(weight, torch.Tensor) and weight.nbytes:
            found[weight.data_ptr()].append((name, layer))
    return found
