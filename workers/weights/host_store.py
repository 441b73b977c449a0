"""What a worker process of an engine holds in host memory, by name: checkpoints go in, and on to its device.

Checkpoints are read by a thread, so that requests run on meanwhile; all else happens where the engine calls it.
"""

import logging
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import torch

from workers.weights.host_copy import HostCopy
from workers.weights.image import KernelImage, live_tensors, loose_values, scattered_tensors

_LOG = logging.getLogger("vllm.coe.weights")  # under vLLM's, whose handlers write to the engine's log


class HostStore:
    """Of one device. A name holds a checkpoint, or in its place the image of it that was resident once.

    `keep_images`: only for devices whose kernels read registered tensors, which those of a CPU do not.
    """

    def __init__(self, device: torch.device, *, keep_images: bool) -> None:
        self._device = device
        self._on_gpu = device.type == "cuda"
        self._keep_images = keep_images
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="coe-weights")
        self._reading: dict[str, Future[HostCopy]] = {}
        self._copies: dict[str, HostCopy] = {}
        self._images: dict[str, KernelImage] = {}

    def fetch(self, name: str, files: Sequence[Path]) -> None:
        """Begin to read; what was held as `name` is given back."""
        self.drop(name)
        self._reading[name] = self._reader.submit(self._read, list(files))

    def fetched(self, name: str) -> int | None:
        """The bytes held as `name`; None while they are read. Raises what kept them from it, or `OSError`."""
        reading = self._reading.get(name)
        if reading:
            if not reading.done():
                return None
            del self._reading[name]
            self._copies[name] = reading.result()
        held = self._copies.get(name) or self._images.get(name)
        if held is None:
            raise OSError("it was given back while it was read")
        return held.nbytes

    def copy(self, name: str) -> HostCopy | None:
        return self._copies.get(name)

    def image(self, name: str) -> KernelImage | None:
        return self._images.get(name)

    def held(self) -> dict[str, int]:
        return {name: held.nbytes for kind in (self._copies, self._images) for name, held in kind.items()}

    def drop(self, name: str) -> int:
        """Give back what is held as `name`, also what is still being read; the bytes."""
        freed = 0
        if reading := self._reading.pop(name, None):
            reading.cancel()
            reading.add_done_callback(_free_late)
        for held in (self._copies.pop(name, None), self._images.pop(name, None)):
            if held:
                freed += held.nbytes
                held.free()
        return freed

    def on_device(self, copy: HostCopy, skipped: Collection[str] = ()) -> Iterator[tuple[str, torch.Tensor]]:
        """The checkpoint's tensors but those `skipped`, already on their way to the device where it is a GPU."""
        for name, tensor in copy.tensors():
            if name not in skipped:
                yield name, tensor.to(self._device, non_blocking=True) if self._on_gpu else tensor

    def keep_image(self, name: str, model: torch.nn.Module) -> bool:
        """Hold the model's tensors as they are now in place of the checkpoint `name`, which was just loaded into them.

        False where the copy of the checkpoint stays.
        """
        if self._on_gpu:
            torch.cuda.synchronize(self._device)  # copies from the checkpoint may be on their way
        if not self._keep_images:
            return False
        live = live_tensors(model)
        if missed := loose_values(model) or scattered_tensors(live):
            _LOG.info("`%s` is held as a checkpoint: an image would miss %s", name, ", ".join(missed[:3]))
            return False
        self._copies.pop(name).free()  # first, so that the two are never held together
        self._images[name] = KernelImage(live, pin=self._on_gpu)
        return True

    def install(self, image: KernelImage, model: torch.nn.Module) -> None:
        """Copy an image back into the tensors that it was taken of, and wait for it."""
        image.install(live_tensors(model))

    def _read(self, files: Sequence[Path]) -> HostCopy:
        with torch.cuda.device(self._device) if self._on_gpu else nullcontext():  # a new thread is on the first one
            return HostCopy(files, pin=self._on_gpu)


def _free_late(reading: "Future[HostCopy]") -> None:
    if not reading.cancelled() and reading.exception() is None:
        reading.result().free()
