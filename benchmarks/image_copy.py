"""How near images of weights come to a GPU's host link: `python -m benchmarks.image_copy [--shape 8b] [--rounds N]`.

No vLLM and no checkpoint: tensors of a model's shapes, on the GPU and filled at random, are put back from two images in
host memory in turns, by the code that the engine runs. Beside it, the rate at which one large block is copied. Every
outcome is compared with what the image was taken of. Needs PyTorch with CUDA and this repository, nothing else.
Out: JSON on standard output. Exit 0 where all was measured and equal, 1 where not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Sequence

import torch

from benchmarks.llama_shapes import SHAPES
from workers.weights.image import KernelImage, live_tensors
from workers.weights.pinned import HostMemory

_BLOCK = 2**30
_TARGET = 0.7


def model_of(shape: str, device: torch.device) -> torch.nn.Module:
    """Its tensors as an engine holds them, in bfloat16."""
    model = torch.nn.Module()
    for name, size in SHAPES[shape].kernels():
        weight = torch.nn.Parameter(torch.empty(size, dtype=torch.bfloat16, device=device), requires_grad=False)
        model.register_parameter(name.replace(".", "_"), weight)
    return model


def fill(model: torch.nn.Module, seed: int) -> list[int]:
    """Random weights; the sums that tell them from others."""
    generator = torch.Generator(device=next(model.parameters()).device).manual_seed(seed)
    for weight in model.parameters():
        weight.normal_(generator=generator)
    return sums(model)


def sums(model: torch.nn.Module) -> list[int]:
    return [int(weight.view(torch.int16).sum(dtype=torch.int64)) for weight in model.parameters()]


def link_rate(device: torch.device, rounds: int) -> float:
    """Bytes a second from registered host memory to the device, one block at a time."""
    host = HostMemory(_BLOCK, pin=device.type == "cuda")
    target = torch.empty(_BLOCK, dtype=torch.uint8, device=device)
    times = []
    for _ in range(rounds + 1):
        began = time.perf_counter()
        target.copy_(host.block, non_blocking=True)
        _wait(device)
        times.append(time.perf_counter() - began)
    host.free()
    return _BLOCK / statistics.median(times[1:])


def measure(shape: str, rounds: int, device: torch.device) -> dict[str, object]:
    """Raises `RuntimeError` where what an image brought back is not what it was taken of."""
    link = link_rate(device, rounds)
    model = model_of(shape, device)
    images, expected, taken = [], [], []
    for seed in range(2):
        expected.append(fill(model, seed))
        _wait(device)
        began = time.perf_counter()
        images.append(KernelImage(live_tensors(model), pin=device.type == "cuda"))
        taken.append(time.perf_counter() - began)
    times, copied = [], 0
    for number in range(2 * (rounds + 1)):
        began = time.perf_counter()
        copied = images[number % 2].install(live_tensors(model))
        times.append(time.perf_counter() - began)
        if sums(model) != expected[number % 2]:
            raise RuntimeError("an image brought back other weights than it was taken of")
    times = times[2:]
    median, p95 = statistics.median(times), sorted(times)[int(0.95 * (len(times) - 1))]
    return {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        "torch": torch.__version__,
        "shape": shape,
        "bytes": copied,
        "tensors": len(live_tensors(model)),
        "pinned": all(image.pinned for image in images),
        "link_bytes_per_s": link,
        "install_s": {"p50": median, "p95": p95, "count": len(times)},
        "bytes_per_s": copied / median,
        "share_of_link": copied / median / link,
        "target": _TARGET,
        "holds": copied / median / link >= _TARGET,
        "taking_an_image_s": taken,
    }


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_copy", description=__doc__)
    parser.add_argument("--shape", choices=tuple(SHAPES), default="8b")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--device", default="cuda", help="`cpu` tries the program, and measures nothing of use")
    given = parser.parse_args(arguments)
    if given.device == "cuda" and not torch.cuda.is_available():
        print("error: there is no GPU that PyTorch can use", file=sys.stderr)
        return 1
    try:
        found = measure(given.shape, given.rounds, torch.device(given.device))
    except RuntimeError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(json.dumps(found, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
