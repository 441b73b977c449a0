"""Layers of a CPU engine, which answer with packed copies of their weights: a model goes in, its copies are made new.

vLLM packs again what it reloads, with two exceptions. A weight that two layers share is reloaded through one of them,
and the other (an output layer tied to the embedding, say) would go on answering with what it packed at the start. And
there are methods whose copies a reload does not reach, such as those of mixture-of-experts layers. The first kind is
packed again here; a model with any but the methods that were compared with fresh processes is not replaced at all.
"""

from collections import defaultdict
from collections.abc import Set as AbstractSet
from typing import Any

import torch

_COMPARED = frozenset({"UnquantizedLinearMethod", "UnquantizedEmbeddingMethod"})


def layers_not_reached(model: torch.nn.Module) -> list[str]:
    """Methods by which layers hold weights that a reload is not known to reach, each with one such layer."""
    found: dict[str, str] = {}
    for name, layer in model.named_modules():
        method = getattr(layer, "quant_method", None)
        if method is not None and type(method).__name__ not in _COMPARED:
            found.setdefault(type(method).__name__, f"{type(method).__name__} of `{name}`")
    return list(found.values())


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
