"""Host memory that a GPU copies from at link speed: a size goes in, a block of bytes comes out.

Plain memory is registered with CUDA rather than taken from PyTorch's allocator of pinned memory, which rounds every
block up to a power of two and keeps it: a budget that counts bytes would be wrong by up to a half.
"""

from contextlib import suppress
from io import RawIOBase

import torch


class HostMemory:
    """`block` is a tensor of `nbytes` bytes; `pinned` is False where CUDA would not register it, or was not asked."""

    def __init__(self, nbytes: int, *, pin: bool) -> None:
        try:
            self.block = torch.empty(nbytes, dtype=torch.uint8)
        except RuntimeError as error:  # what PyTorch raises where there is no memory
            raise MemoryError(f"{nbytes} bytes of host memory cannot be had") from error
        self.nbytes = nbytes
        self.pinned = pin and nbytes > 0 and _register(self.block)

    def fill(self, source: RawIOBase) -> None:
        """Read until the block is full. Raises `OSError` where `source` ends before."""
        view = memoryview(self.block.numpy())
        done = 0
        while done < self.nbytes:
            count = source.readinto(view[done:])
            if not count:
                raise OSError(f"the file ends {self.nbytes - done} bytes too early")
            done += count

    def free(self) -> None:
        """Give it back, once copies that are on their way from it have arrived."""
        if self.pinned:
            torch.cuda.synchronize()
            torch.cuda.cudart().cudaHostUnregister(self.block.data_ptr())
            self.pinned = False
        self.block = torch.empty(0, dtype=torch.uint8)
        self.nbytes = 0


def _register(block: torch.Tensor) -> bool:
    if torch.cuda.cudart().cudaHostRegister(block.data_ptr(), block.nbytes, 0).value == 0:
        return True
    with suppress(RuntimeError):  # CUDA keeps the error for whoever asks next: let that be nobody's real work
        torch.zeros(1, device="cuda")
    return False
