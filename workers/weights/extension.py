"""The engine's side of replacing weights: vLLM mixes `WeightsExtension` into its workers, which then answer to its RPCs.

`--worker-extension-cls workers.weights.extension.WeightsExtension` is vLLM's own extension point; the methods are called
by `POST /collective_rpc` on the engine's private socket. Names begin with `coe_`, so that they meet none of vLLM's.

How a checkpoint reaches the kernels:
    disk, host  through vLLM's `reload_weights`, which processes it as at the start; the only way on a CPU
    image       on a GPU, from its second time on: see `workers.weights.image`

Not run on a GPU yet: pinning and images are tested on CPU tensors alone.
"""

import contextlib
import logging
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from workers.tensor_header import TensorFileError
from workers.weights.checkpoint import weight_files
from workers.weights.host_copy import HostCopy
from workers.weights.image import KernelImage, live_tensors, loose_tensors, scattered_tensors

_LOG = logging.getLogger("vllm.coe.weights")  # under vLLM's, whose handlers write to the engine's log


class WeightsStore:
    """What one worker process holds in host memory, by name: checkpoints, and images of those that were resident."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.on_gpu = device.type == "cuda"
        self.copies: dict[str, HostCopy] = {}
        self.images: dict[str, KernelImage] = {}

    def fetch(self, name: str, files: list[Path]) -> int:
        self.drop(name)
        copy = self.copies[name] = HostCopy(files, pin=self.on_gpu)
        return copy.nbytes

    def drop(self, name: str) -> int:
        freed = 0
        for held in (self.copies.pop(name, None), self.images.pop(name, None)):
            if held:
                freed += held.nbytes
                held.free()
        return freed

    def take_image(self, name: str, model: torch.nn.Module) -> None:
        """In place of the checkpoint's copy, which has the same weights; that one stays where no image can be had."""
        live = live_tensors(model)
        if loose := loose_tensors(model) or scattered_tensors(live):
            _LOG.info("no image of `%s` is kept, because of %s", name, ", ".join(loose[:3]))
            return
        copy = self.copies.pop(name)
        copy.free()
        self.images[name] = KernelImage(live, pin=True)

    def tensors(self, copy: HostCopy) -> Iterator[tuple[str, torch.Tensor]]:
        """The checkpoint's, on their way to the device where it is a GPU."""
        for name, tensor in copy.tensors():
            yield name, tensor.to(self.device, non_blocking=True) if copy.pinned else tensor


class WeightsExtension:
    """Methods for vLLM's worker. Every one returns a dictionary, the only thing that the RPC brings back unchanged."""

    device: torch.device
    model_runner: Any  # vLLM's
    reload_weights: Any

    def coe_weights_fetch(self, name: str, folder: str) -> dict[str, object]:
        """Read the checkpoint in `folder` into host memory, where it is held as `name` until `coe_weights_drop`."""
        began = time.perf_counter()
        try:
            nbytes = _store(self).fetch(name, weight_files(Path(folder)))
        except (OSError, TensorFileError, MemoryError) as error:
            return {"refused": str(error)}
        return {"bytes": nbytes, "seconds": time.perf_counter() - began}

    def coe_weights_drop(self, name: str) -> dict[str, object]:
        """Give back the host memory of `name`, which may be none."""
        return {"bytes": _store(self).drop(name)}

    def coe_weights_replace(self, name: str, folder: str, source: str) -> dict[str, object]:
        """Make the checkpoint the resident one, from what is held as `name` (`source` host) or from `folder` (disk).

        An error in the middle leaves weights that are neither the old nor the new.
        """
        store = _store(self)
        began = time.perf_counter()
        if source == "host" and (image := store.images.get(name)):
            image.install(live_tensors(self.model_runner.get_model()))
            for reset in ("reset_lora_state", "reset_encoder_cache", "reset_mm_cache"):  # as `reload_weights` does
                if has := getattr(self.model_runner, reset, None):
                    has()
            return {"tier": "image", "seconds": time.perf_counter() - began}
        if source == "host" and (copy := store.copies.get(name)):
            self.reload_weights(weights_iterator=store.tensors(copy))
            if store.on_gpu:
                torch.cuda.synchronize(self.device)
                store.take_image(name, self.model_runner.get_model())
            return {"tier": "host", "seconds": time.perf_counter() - began}
        self.reload_weights(weights_iterator=_mapped(weight_files(Path(folder))))
        if store.on_gpu:
            torch.cuda.synchronize(self.device)
        return {"tier": "disk", "seconds": time.perf_counter() - began}

    def coe_weights_held(self) -> dict[str, object]:
        """Bytes of host memory by name, and what the outcome of a forward pass depends on beside the weights."""
        store = _store(self)
        held = {name: block.nbytes for name, block in [*store.copies.items(), *store.images.items()]}
        return {"held": held, "engine": _describe(self.device)}


def _store(worker: WeightsExtension) -> WeightsStore:
    """Made at the first call: vLLM does not run the `__init__` of an extension."""
    store = getattr(worker, "_coe_weights_store", None)
    if store is None:
        store = WeightsStore(worker.device)
        worker._coe_weights_store = store  # type: ignore[attr-defined]  # noqa: SLF001 - the worker is a WeightsExtension
    return store


def _mapped(files: list[Path]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors read as they are asked for, without a copy in between."""
    import os  # noqa: PLC0415

    from safetensors import safe_open  # noqa: PLC0415 - only where weights come from disk

    for file in files:
        with file.open("rb") as opened, contextlib.suppress(OSError):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.offset_keys():
                yield name, tensors.get_tensor(name)


def _describe(device: torch.device) -> str:
    kind = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{platform.machine()} {_cpu()}"
    return f"torch {torch.__version__}, {kind}, {torch.get_num_threads()} threads"


def _cpu() -> str:
    return torch.backends.cpu.get_cpu_capability()
