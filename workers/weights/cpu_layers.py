"""Layers of a CPU engine, which answer with packed copies of their weights: a model goes in, its copies are made new.

vLLM packs again what it reloads, with two exceptions. A weight that two layers share is reloaded through one of them,
and the other (an output layer tied to the embedding, say) would go on answering with what it packed at the start. And
there are methods whose copies a reload does not reach, such as those of mixture-of-experts layers. The first kind is
packed again here; a model with any but the methods that were compared with fresh processes is not replaced at all.
"""

import weakref
from collections import defaultdict
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class TiedLayer:
    """One of several layers that share a weight. `packed`: what it answered with when it was looked at."""

    name: str
    layer: Any
    packed: "weakref.ref[Any]"

    @property
    def packed_again(self) -> bool:
        """Whether it has packed its weight since."""
        return self.packed() is not self.layer.cpu_linear

    def pack(self) -> None:
        """As vLLM does after every load."""
        self.layer.quant_method.process_weights_after_loading(self.layer)


def tied_layers(model: torch.nn.Module) -> list[list[TiedLayer]]:
    """Layers that share a weight, by weight. Ask before it is loaded: `repack` tells by them what was packed again."""
    found: dict[int, list[TiedLayer]] = defaultdict(list)
    for name, layer in model.named_modules():
        weight, packed = getattr(layer, "weight", None), getattr(layer, "cpu_linear", None)
        if packed is not None and isinstance(weight, torch.Tensor) and weight.nbytes:
            found[weight.data_ptr()].append(TiedLayer(name, layer, weakref.ref(packed)))
    return [layers for layers in found.values() if len(layers) > 1]


def repack(tied: list[list[TiedLayer]]) -> list[str]:
    """Let layers whose weight was loaded through another one pack it again; their names."""
    loaded = [layers for layers in tied if any(layer.packed_again for layer in layers)]
    stale = [layer for layers in loaded for layer in layers if not layer.packed_again]
    for layer in stale:
        layer.pack()
    return [layer.name for layer in stale]
