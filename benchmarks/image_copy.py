"""How near images of weights come to a GPU's host link: `python -m benchmarks.image_copy [--shape 8b] [--rounds N]`.

No vLLM and no checkpoint: tensors of a model's shapes, on the GPU and filled at random, are put back from two images in
host memory in turns, by the code that the engine runs. Beside it, the rate at which one large block is copied, from
registered and from plain memory. Every outcome is compared with what the image was taken of. Needs PyTorch with CUDA
and this repository, nothing else. Out: JSON on standard output. Exit 0 where all was measured and equal, 1 where not.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch

from benchmarks.llama_shapes import SHAPES, LlamaShape
from workers.weights.image import KernelImage, live_tensors
from workers.weights.pinned import HostMemory

_BLOCK = 2**30
_TARGET = 0.7


class CopyError(Exception):
    """There is no GPU, or an image brought back other weights than it was taken of."""


@dataclass(frozen=True, slots=True)
class Copies:
    """Medians over all rounds; rates in bytes a second.

    `link`: one block from registered memory; `plain_link`: from memory that is not. `extra_bytes`: the most that the
    device held beside the weights while an image was put back. `taking_s`: making an image, its memory included.
    """

    device: str
    torch: str
    nbytes: int
    tensors: int
    pinned: bool
    link: float
    plain_link: float
    install_s: float
    install_p95_s: float
    share_of_link: float
    taking_s: float
    extra_bytes: int
    target: float = _TARGET

    @property
    def holds(self) -> bool:
        return self.share_of_link >= self.target


def gpu() -> torch.device:
    """Raises `CopyError` where PyTorch sees none."""
    if not torch.cuda.is_available():
        raise CopyError(f"PyTorch {torch.__version__} sees no GPU: run it on a machine with one, with PyTorch for CUDA")
    return torch.device("cuda")


def link_rate(device: torch.device, rounds: int, *, pin: bool, block: int = _BLOCK) -> float:
    """Bytes a second from host memory to the device, one block at a time."""
    host = HostMemory(block, pin=pin and device.type == "cuda")
    host.block.fill_(7)  # pages that nothing was written to are one and the same
    target = torch.empty(block, dtype=torch.uint8, device=device)
    try:
        times = []
        for _ in range(rounds + 1):
            began = time.perf_counter()
            target.copy_(host.block, non_blocking=True)
            _wait(device)
            times.append(time.perf_counter() - began)
    finally:
        host.free()
    return block / statistics.median(times[1:])


def measure(shape: LlamaShape, rounds: int, device: torch.device, *, block: int = _BLOCK) -> Copies:
    """Raises `CopyError` where what an image brought back is not what it was taken of."""
    link = link_rate(device, rounds, pin=True, block=block)
    plain_link = link_rate(device, rounds, pin=False, block=block)
    model = _model_of(shape, device)
    live = live_tensors(model)
    images: list[KernelImage] = []
    try:
        expected, taken = [], []
        for seed in range(2):
            expected.append(_fill(model, seed))
            _wait(device)
            began = time.perf_counter()
            images.append(KernelImage(live, pin=device.type == "cuda"))
            taken.append(time.perf_counter() - began)
        times, extra = [], 0
        for number in range(2 * (rounds + 1)):
            before = _held(device, reset=True)
            began = time.perf_counter()
            nbytes = images[number % 2].install(live_tensors(model))
            times.append(time.perf_counter() - began)
            extra = max(extra, _held(device) - before)
            if _sums(model) != expected[number % 2]:
                raise CopyError("an image brought back other weights than it was taken of")
        pinned = all(image.pinned for image in images)
    finally:
        for image in images:
            image.free()
    times = times[2:]
    median = statistics.median(times)
    return Copies(
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        torch=torch.__version__,
        nbytes=nbytes,
        tensors=len(live),
        pinned=pinned,
        link=link,
        plain_link=plain_link,
        install_s=median,
        install_p95_s=sorted(times)[math.ceil(0.95 * len(times)) - 1],
        share_of_link=nbytes / median / link,
        taking_s=statistics.median(taken),
        extra_bytes=extra,
    )


def _model_of(shape: LlamaShape, device: torch.device) -> torch.nn.Module:
    """Its tensors as an engine holds them, in bfloat16."""
    model = torch.nn.Module()
    for name, size in shape.kernels():
        weight = torch.nn.Parameter(torch.empty(size, dtype=torch.bfloat16, device=device), requires_grad=False)
        model.register_parameter(name.replace(".", "_"), weight)
    return model


def _fill(model: torch.nn.Module, seed: int) -> list[int]:
    """Random weights; the sums that tell them from others."""
    generator = torch.Generator(device=next(model.parameters()).device).manual_seed(seed)
    for weight in model.parameters():
        weight.normal_(generator=generator)
    return _sums(model)


def _sums(model: torch.nn.Module) -> list[int]:
    return [int(weight.view(torch.int16).sum(dtype=torch.int64)) for weight in model.parameters()]


def _held(device: torch.device, *, reset: bool = False) -> int:
    """Bytes that PyTorch has taken on the device: now, where `reset`, else the most since then."""
    if device.type != "cuda":
        return 0
    if reset:
        torch.cuda.reset_peak_memory_stats(device)
    return int(torch.cuda.max_memory_allocated(device))


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_copy", description=__doc__)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="8b")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="`cpu` tries the program alone")
    given = parser.parse_args(arguments)
    try:
        device = gpu() if given.device == "cuda" else torch.device("cpu")
        found = measure(SHAPES[given.shape], given.rounds, device)
    except (CopyError, MemoryError, RuntimeError) as error:  # what PyTorch raises where the device has no room
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps({**asdict(found), "shape": given.shape, "holds": found.holds}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
