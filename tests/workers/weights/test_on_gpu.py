"""Host memory, copies and images on a real GPU; skipped where there is none. Needs PyTorch alone, no vLLM."""

import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.workers.weights.checkpoint_files import WEIGHTS, write_checkpoint
from workers.weights.host_store import HostStore
from workers.weights.image import KernelImage, live_tensors
from workers.weights.pinned import HostMemory

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

GPU = torch.device("cuda")
WIDTH = 2048


def model_on_gpu() -> torch.nn.Module:
    return torch.nn.Sequential(*(torch.nn.Linear(WIDTH, WIDTH, dtype=torch.bfloat16, device=GPU) for _ in range(4)))


def fill(model: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator(device=GPU).manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(generator=generator)
    return {name: tensor.clone() for name, tensor in live_tensors(model).items()}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def test_registered_memory_takes_its_own_size_and_is_given_back() -> None:
    memory = HostMemory(5_000_001, pin=True)
    block = memory.block
    assert memory.pinned
    assert block.is_pinned()
    assert block.nbytes == 5_000_001
    memory.free()
    assert not block.is_pinned()


def test_a_checkpoint_comes_from_pinned_memory_as_its_file_holds_it(tmp_path: Path) -> None:
    file = write_checkpoint(tmp_path / "c") / WEIGHTS
    store = HostStore(GPU, keep_images=True)
    store.fetch("c", [file])
    while store.fetched("c") is None:
        time.sleep(0.001)
    copy = store.copy("c")
    assert copy is not None
    assert copy.pinned
    found = dict(store.on_device(copy))
    assert all(tensor.is_cuda for tensor in found.values())
    assert same({name: tensor.cpu() for name, tensor in found.items()}, load_file(file))
    store.drop("c")


def test_images_turn_a_model_from_one_into_the_other_and_back_within_the_memory_it_has() -> None:
    model = model_on_gpu()
    places = {name: tensor.data_ptr() for name, tensor in live_tensors(model).items()}
    first = fill(model, 1)
    one = KernelImage(live_tensors(model), pin=True)
    second = fill(model, 2)
    two = KernelImage(live_tensors(model), pin=True)
    assert one.pinned
    assert two.pinned
    for image, expected in ((one, first), (two, second), (one, first)):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        image.install(live_tensors(model))
        assert torch.cuda.max_memory_allocated() == before
        assert same(live_tensors(model), expected)
    assert {name: tensor.data_ptr() for name, tensor in live_tensors(model).items()} == places
    for image in (one, two):
        image.free()


def test_a_captured_graph_answers_with_the_weights_that_an_image_brought_back() -> None:
    model = model_on_gpu()
    asked = torch.randn(8, WIDTH, dtype=torch.bfloat16, device=GPU)
    fill(model, 1)
    image = KernelImage(live_tensors(model), pin=True)
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad():
        model(asked)
        torch.cuda.synchronize()
        with torch.cuda.graph(graph):
            answer = model(asked)

    def answered() -> torch.Tensor:
        graph.replay()
        torch.cuda.synchronize()
        return answer.clone()

    expected = answered()
    fill(model, 2)
    assert not torch.equal(answered(), expected)
    image.install(live_tensors(model))
    assert torch.equal(answered(), expected)
    image.free()
