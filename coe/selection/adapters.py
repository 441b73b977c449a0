"""How alike two LoRA adapters are: in come their folders, out comes the cosine of what they add to the weights.

ROCKET compares adapters layer by layer. The product B A of a layer is never formed: all that its cosine needs are
r x r products of the factors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, deserialize

from coe.errors import ConfigError
from coe.selection.diversity import Likeness, same_texts
from coe.selection.scoring import Candidate

SAME_WEIGHTS = 0.99
WEIGHTS_FILE = "adapter_model.safetensors"
Matrix: TypeAlias = NDArray[np.float64]
_FACTOR = re.compile(r"^(?P<layer>.+)\.lora_(?P<factor>[AB])(?:\.\w+)?\.weight$")
_FLOATS = {"F64": np.float64, "F32": np.float32, "F16": np.float16}


@dataclass(frozen=True, slots=True, eq=False)
class LoraLayer:
    """The factors of one layer's update: `down` (rank, inputs), which is A, and `up` (outputs, rank), which is B."""

    down: Matrix
    up: Matrix


Adapter: TypeAlias = Mapping[str, LoraLayer]
"""Layers by the name of the module that they change."""


@dataclass(frozen=True, slots=True)
class AdapterLikeness:
    """Compares weights; `adapters` holds every candidate's. Equal answers make duplicates here too."""

    adapters: Mapping[str, Adapter]

    def __call__(self, one: Candidate, other: Candidate) -> Likeness:
        similarity = similarity_of(self.adapters[one.name], self.adapters[other.name])
        return Likeness(similarity, similarity >= SAME_WEIGHTS or same_texts(one, other))


def read_adapter(folder: Path) -> Adapter:
    """The LoRA factors in `folder`, as peft writes them.

    Raises:
        ConfigError: the folder holds no readable LoRA weights.
    """
    path = folder / WEIGHTS_FILE
    try:
        tensors = dict(deserialize(path.read_bytes()))  # type: ignore[no-untyped-call]  # safetensors has no types
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}. Name the folder of a LoRA adapter.") from error
    except SafetensorError as error:
        raise ConfigError(f"{path} is no safetensors file ({error}). Name the folder of a LoRA adapter.") from error
    factors: dict[str, dict[str, Matrix]] = {}
    for name, tensor in tensors.items():
        if found := _FACTOR.match(name):
            factors.setdefault(found["layer"], {})[found["factor"]] = _matrix(path, name, tensor)
    if not factors or any(len(pair) != len("AB") for pair in factors.values()):
        raise ConfigError(f"{path} holds no complete pairs of LoRA factors (`lora_A`, `lora_B`).")
    return {layer: LoraLayer(down=pair["A"], up=pair["B"]) for layer, pair in sorted(factors.items())}


def similarity_of(one: Adapter, other: Adapter) -> float:
    """Mean over layers of the absolute cosine of the updates, in [0, 1]; a layer that only one changes counts 0.

    Raises:
        ConfigError: a layer's shapes differ, so that the adapters belong to different base models.
    """
    layers = sorted(one.keys() | other.keys())
    return float(
        np.mean(
            [_cosine(layer, one[layer], other[layer]) if layer in one and layer in other else 0.0 for layer in layers]
        )
    )


def _cosine(name: str, one: LoraLayer, other: LoraLayer) -> float:
    if (one.up.shape[0], one.down.shape[1]) != (other.up.shape[0], other.down.shape[1]):
        raise ConfigError(f"The adapters' shapes differ in {name}: compare adapters of one base model only.")
    norms = _inner(one, one) * _inner(other, other)
    return min(1.0, abs(_inner(one, other)) / float(np.sqrt(norms))) if norms > 0 else 0.0


def _inner(one: LoraLayer, other: LoraLayer) -> float:
    """The Frobenius product <B1 A1, B2 A2> = sum((B1' B2) * (A1 A2')), through (r1, r2) matrices."""
    return float(np.sum((one.up.T @ other.up) * (one.down @ other.down.T)))


def _matrix(path: Path, name: str, tensor: Mapping[str, object]) -> Matrix:
    data, dtype, shape = tensor["data"], tensor["dtype"], tensor["shape"]
    assert isinstance(data, bytes | bytearray)
    assert isinstance(shape, list)
    if dtype == "BF16":  # numpy has no such type: it is the upper half of a float32
        values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
    elif isinstance(dtype, str) and dtype in _FLOATS:
        values = np.frombuffer(data, _FLOATS[dtype])
    else:
        raise ConfigError(f"{path}: {name} has the type {dtype}; save the adapter as bf16, fp16 or fp32.")
    return values.astype(np.float64).reshape(shape)
