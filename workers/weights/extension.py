"""The engine's side of replacing weights: vLLM mixes `WeightsExtension` into its workers, and RPCs call its methods.

The RPCs come by `POST /collective_rpc` on the engine's private socket. See `workers.engine.extension`.

How a checkpoint reaches the kernels:
    disk, host  through vLLM's `reload_weights`, which processes it as at the start; the only way on a CPU
    image       on a GPU, from its second time on: see `workers.weights.image`

On a GPU the first two ran in an engine. Images were tested with a model of vLLM on a CPU that reads registered weights,
and on a GPU without vLLM.
"""

import contextlib
import logging
import os
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from workers.tensor_header import TensorFileError
from workers.weights.checkpoint import weight_files
from workers.weights.cpu_layers import layers_not_reached, repack, tied_layers
from workers.weights.host_store import HostStore

_RESETS = ("reset_lora_state", "reset_encoder_cache", "reset_mm_cache")  # those of vLLM's `reload_weights`
_RELOAD_LOGS = ("layerwise", "inplace")  # of vLLM's `reload_weights`


class WeightsExtension:
    """Methods for vLLM's worker. Every one returns a dictionary: nothing else comes back from the RPC unchanged."""

    device: torch.device
    model_runner: Any  # vLLM's, as the others
    reload_weights: Any
    vllm_config: Any

    def coe_weights_fetch(self, name: str, folder: str) -> dict[str, object]:
        """Begin to read the checkpoint in `folder` into host memory, where it is held until `coe_weights_drop`."""
        _store(self).fetch(name, weight_files(Path(folder)))
        return {"begun": name}

    def coe_weights_fetched(self, name: str) -> dict[str, object]:
        """The bytes held as `name`, why there are none, or an empty dictionary while they are being read."""
        try:
            nbytes = _store(self).fetched(name)
        except (OSError, TensorFileError, MemoryError) as error:
            return {"refused": str(error)}
        return {} if nbytes is None else {"bytes": nbytes}

    def coe_weights_drop(self, name: str) -> dict[str, object]:
        """Give back the host memory of `name`, which may be none."""
        return {"bytes": _store(self).drop(name)}

    def coe_weights_replace(self, name: str, folder: str, source: str, unchanged: list[str]) -> dict[str, object]:
        """Make the checkpoint the resident one, from what is held as `name` (`source` host) or from `folder` (disk).

        `unchanged`: tensors that are resident already; whole blocks of them, as `unchanged_tensors` tells. An error in
        the middle leaves weights that are neither the old nor the new.
        """
        store, began = _store(self), time.perf_counter()
        if source == "host" and (image := store.image(name)):
            store.install(image, self.model_runner.get_model())
            for reset in _RESETS:
                if hasattr(self.model_runner, reset):
                    getattr(self.model_runner, reset)()
            return {"tier": "image", "seconds": time.perf_counter() - began}
        skipped = frozenset(unchanged)
        if source == "host" and (copy := store.copy(name)):
            _load(self, store.on_device(copy, skipped))
            store.keep_image(name, self.model_runner.get_model())
            return {"tier": "host", "seconds": time.perf_counter() - began}
        _load(self, _mapped(weight_files(Path(folder)), skipped))
        return {"tier": "disk", "seconds": time.perf_counter() - began}

    def coe_weights_woken(self) -> dict[str, object]:
        """Give back the host memory that sleep at level 1 took, which PyTorch would keep and no budget would count.

        vLLM leaves it there: https://github.com/vllm-project/vllm/issues/16663.
        """
        private = torch._C._host_emptyCache  # noqa: SLF001  # all that PyTorch 2.11 has, that of vLLM before 0.27
        getattr(torch.accelerator, "empty_host_cache", private)()
        return {"given_back": True}

    def coe_weights_held(self) -> dict[str, object]:
        """Bytes of host memory by name, what a forward pass depends on beside the weights, and what keeps old ones."""
        on_cpu = self.device.type == "cpu"
        kept = layers_not_reached(self.model_runner.get_model()) if on_cpu else []
        return {"held": _store(self).held(), "engine": _describe(self), "keeps": kept}


def _store(worker: WeightsExtension) -> HostStore:
    """Made at the first call: vLLM does not run the `__init__` of an extension."""
    store: HostStore | None = getattr(worker, "_coe_weights_store", None)
    if store is None:
        store = HostStore(worker.device, keep_images=worker.device.type == "cuda")
        worker._coe_weights_store = store  # type: ignore[attr-defined]  # noqa: SLF001 - of this very class
    return store


def _load(worker: WeightsExtension, tensors: Iterator[tuple[str, torch.Tensor]]) -> None:
    """Tensors that are not among them stay as they are."""
    tied = tied_layers(worker.model_runner.get_model()) if worker.device.type == "cpu" else []
    with contextlib.ExitStack() as stack:
        for log in _RELOAD_LOGS:
            stack.enter_context(_quiet(f"vllm.model_executor.model_loader.reload.{log}"))
        worker.reload_weights(weights_iterator=tensors)
    repack(tied)


@contextlib.contextmanager
def _quiet(name: str) -> Iterator[None]:
    """No warnings from this logger: it names layers that get no tensors, and what is missing was checked."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _mapped(files: list[Path], skipped: Collection[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors in the files' order, read when they are asked for, without a copy in between."""
    for file in files:
        with file.open("rb") as opened, contextlib.suppress(OSError):
            os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_WILLNEED)
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.offset_keys():
                if name not in skipped:
                    yield name, tensors.get_tensor(name)


def _describe(worker: WeightsExtension) -> str:
    """Begins with the kind of device. vLLM's own hash covers its version and all settings that change computation."""
    device = torch.cuda.get_device_name(worker.device) if worker.device.type == "cuda" else _cpu_model()
    settings = worker.vllm_config.compute_hash()
    return f"{worker.device.type} {device}, torch {torch.__version__}, {torch.get_num_threads()} threads, {settings}"


def _cpu_model() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")
