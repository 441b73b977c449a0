"""What a model's kernels read, as one block of host memory: live tensors go in, and come back by plain copies.

A checkpoint is laid out for files: loading it fuses, slices and repacks. An image is the outcome of that, so putting it
back is one asynchronous copy a tensor from pinned memory straight into the place the kernels and captured graphs read:
no allocation on the device, nothing of the old weights copied back, and the host link is the limit.

Valid for one engine, with the shapes, parallel rank and kernels of its start, and only where all that loading derives
from weights lies in registered parameters and buffers: `loose_values` names what does not. Other numbers that a layer
keeps as plain Python attributes are not seen, so whoever installs an image verifies the outcome. Not for CPU engines,
whose linear weights are packed inside opaque kernels.
"""

from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import torch

from workers.weights.pinned import HostMemory

_ALIGNED = 256  # bytes; of a block's parts, as CUDA aligns its own
# What vLLM's layers keep as plain attributes: numbers of attention that are 1 where a checkpoint brings none,
_SCALES = ("_q_scale_float", "_k_scale_float", "_v_scale_float", "_prob_scale_float", "_o_scale_float")
# and tensors that no base weights go into: the KV cache, slots of adapters, which are loaded anew after every change of
# weights, and copies of those numbers, which every attention layer has.
_NOT_WEIGHTS = frozenset(
    {
        "kv_cache",
        "lora_a_stacked",
        "lora_a_stacked_2d",
        "lora_b_stacked",
        "sharded_to_full_mapping_gpu",
        "_k_scale_cpu",
        "_v_scale_cpu",
    }
)


@dataclass(frozen=True, slots=True)
class _Part:
    begin: int
    nbytes: int


class KernelImage:
    """Taken from `live` at once; raises `MemoryError`. `install` brings it back into the same tensors."""

    def __init__(self, live: Mapping[str, torch.Tensor], *, pin: bool) -> None:
        self._parts: dict[str, _Part] = {}
        end = 0
        for name, tensor in live.items():
            self._parts[name] = _Part(end, tensor.nbytes)
            end += -(-tensor.nbytes // _ALIGNED) * _ALIGNED
        self._memory = HostMemory(end, pin=pin)
        self._copy(live, to_live=False)

    @property
    def nbytes(self) -> int:
        return self._memory.nbytes

    @property
    def pinned(self) -> bool:
        return self._memory.pinned

    def install(self, live: Mapping[str, torch.Tensor]) -> int:
        """Copy the image into `live` and wait for it; returns the bytes copied. Raises `ValueError` before any is."""
        if {name: part.nbytes for name, part in self._parts.items()} != {n: t.nbytes for n, t in live.items()}:
            raise ValueError("the model's tensors are not those that the image was taken of")
        self._copy(live, to_live=True)
        return sum(part.nbytes for part in self._parts.values())

    def free(self) -> None:
        self._memory.free()

    def _copy(self, live: Mapping[str, torch.Tensor], *, to_live: bool) -> None:
        with torch.inference_mode():  # in which buffers may have been made that cannot be written outside of it
            for name, tensor in live.items():
                part = self._parts[name]
                held = self._memory.block[part.begin : part.begin + part.nbytes].view(tensor.dtype)
                memory = in_memory_order(tensor)
                if to_live:
                    memory.copy_(held, non_blocking=True)
                else:
                    held.copy_(memory, non_blocking=True)
        for device in {tensor.device for tensor in live.values() if tensor.is_cuda}:
            torch.cuda.synchronize(device)


def live_tensors(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """Every parameter and buffer once, however many names it has, by its first name."""
    found: dict[str, torch.Tensor] = {}
    seen: set[tuple[int, int]] = set()
    named: Iterator[tuple[str, torch.Tensor]] = iter([*model.named_parameters(), *model.named_buffers()])
    for name, tensor in named:
        place = (tensor.data_ptr(), tensor.nbytes)
        if tensor.nbytes and place not in seen:
            seen.add(place)
            found[name] = tensor.detach()
    return found


def loose_values(model: torch.nn.Module) -> list[str]:
    """What layers keep beside their parameters and buffers, and an image would therefore miss: tensors and scales."""
    known = {tensor.untyped_storage().data_ptr() for tensor in live_tensors(model).values()}
    return [
        f"{layer_name}.{name}"
        for layer_name, layer in model.named_modules()
        for name, value in vars(layer).items()
        if (isinstance(value, torch.Tensor) and _is_loose(name, value, known))
        or (name in _SCALES and value not in (None, 1.0))
    ]


def _is_loose(name: str, tensor: torch.Tensor, known: AbstractSet[int]) -> bool:
    return name not in _NOT_WEIGHTS and tensor.nbytes > 0 and tensor.untyped_storage().data_ptr() not in known


def scattered_tensors(live: Mapping[str, torch.Tensor]) -> list[str]:
    """Those with gaps in memory, which `in_memory_order` cannot give."""
    return [name for name, tensor in live.items() if not torch.ops.aten.is_non_overlapping_and_dense(tensor)]


def in_memory_order(tensor: torch.Tensor) -> torch.Tensor:
    """The elements of a tensor without gaps as they lie in memory, whatever its strides."""
    return tensor.as_strided((tensor.numel(),), (1,), tensor.storage_offset())
