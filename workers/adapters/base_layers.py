"""The linear layers of a base model: its folder goes in, the name and size of each layer come out.

They are read from the headers of its safetensors files, sharded or not. Where there are none, `config.json` tells the
sizes of the usual layers. No weight is loaded.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeAlias

import orjson

from workers.tensor_header import TensorFileError, TensorInfo, read_header

_INDEX = "model.safetensors.index.json"
_PLAIN_TYPES = frozenset({"F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"})  # others may pack several numbers in one
_TIED = {"lm_head": "model.embed_tokens"}
_LAYERS = "layers."
_NUMBER = re.compile(r"^layers\.\d+\.")
_USUAL = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})

Json: TypeAlias = dict[str, object]


class Size(NamedTuple):
    """Of a linear layer, in numbers; of an embedding, `outputs` is the vocabulary."""

    outputs: int
    inputs: int


@dataclass(frozen=True, slots=True)
class BaseLayers:
    """`sizes` by module name, None where the weights are packed.

    `complete`: a layer that is not there does not exist. `tails`: names from `layers.` on, to whole names.
    """

    sizes: Mapping[str, Size | None]
    complete: bool
    tails: Mapping[str, str]

    def find(self, module: str) -> str | None:
        """The base's own name of `module`, whose prefix may differ between the two; None where it has no such layer."""
        for name in (module, _TIED.get(module.rpartition(".")[2], "")):
            if name in self.sizes:
                return name
        return self.tails.get(_tail(module))

    def lacks(self, module: str) -> bool:
        """True where the base certainly has no such layer. Fused experts have names of their own: not certain."""
        if self.find(module) or ".experts" in module:
            return False
        return self.complete or _NUMBER.sub("layers.0.", _tail(module)) in self.tails

    def usual_layers(self) -> frozenset[str]:
        """The last parts of the names of the linear layers in the blocks; none where they are not all of the usual."""
        names = {name.rpartition(".")[2] for name in self.sizes if _LAYERS in name}
        linear = frozenset(name for name in names if "norm" not in name)
        return linear if self.complete and linear <= _USUAL else frozenset()


def read_base(directory: Path) -> BaseLayers:
    """What the folder tells of the model's layers; nothing where it tells nothing. Blocks for milliseconds."""
    try:
        sizes = dict(_from_headers(directory))
        complete = bool(sizes)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, TensorFileError):
        sizes, complete = {}, False  # the engine will say what is wrong with its model
    if not complete:
        sizes = dict(_from_config(directory))
    tails = Counter(_tail(name) for name in sizes)
    return BaseLayers(sizes, complete, {_tail(name): name for name in sizes if tails[_tail(name)] == 1})


def _tail(module: str) -> str:
    return module[module.find(_LAYERS) :] if _LAYERS in module else module.rpartition(".")[2]


def _from_headers(directory: Path) -> Iterator[tuple[str, Size | None]]:
    for file in _weight_files(directory):
        for name, tensor in read_header(file).items():
            module, _, kind = name.rpartition(".")
            if kind == "weight":
                yield module, _size(tensor)
            elif kind in {"qweight", "weight_packed"}:
                yield module, None


def _size(tensor: TensorInfo) -> Size | None:
    return Size(*tensor.shape) if len(tensor.shape) == 2 and tensor.dtype in _PLAIN_TYPES else None


def _weight_files(directory: Path) -> list[Path]:
    index = directory / _INDEX
    if index.is_file():
        return [directory / name for name in sorted(set(orjson.loads(index.read_bytes())["weight_map"].values()))]
    return sorted(directory.glob("model*.safetensors"))


def _from_config(directory: Path) -> Iterator[tuple[str, Size | None]]:
    """The layers of a decoder of the common shape, as far as `config.json` gives their sizes."""
    try:
        config = orjson.loads((directory / "config.json").read_bytes())
        text = config.get("text_config", config)
        hidden, heads = text["hidden_size"], text["num_attention_heads"]
        head = text.get("head_dim") or hidden // heads
        queries, keys = heads * head, text.get("num_key_value_heads", heads) * head
        inner, count = text["intermediate_size"], text["num_hidden_layers"]
        if "kv_lora_rank" in text:  # latent attention: its projections have other sizes
            return
        sizes = {
            "self_attn.q_proj": Size(queries, hidden),
            "self_attn.k_proj": Size(keys, hidden),
            "self_attn.v_proj": Size(keys, hidden),
            "self_attn.o_proj": Size(hidden, queries),
            "mlp.gate_proj": Size(inner, hidden),
            "mlp.up_proj": Size(inner, hidden),
            "mlp.down_proj": Size(hidden, inner),
        }
        for number in range(count):
            for name, size in sizes.items():
                yield f"model.layers.{number}.{name}", size
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return
