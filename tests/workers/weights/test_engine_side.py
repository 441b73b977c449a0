"""The engine's side, on CPU tensors: what is held in host memory, and what comes back from it into a model."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file

from tests.workers.weights.checkpoint_files import SHAPES, WEIGHTS, cut_off, write_checkpoint
from workers.tensor_header import TensorFileError
from workers.weights.checkpoint import read_checkpoint
from workers.weights.cpu_layers import layers_not_reached, repack, tied_layers
from workers.weights.extension import WeightsExtension
from workers.weights.host_copy import HostCopy
from workers.weights.host_store import HostStore
from workers.weights.image import KernelImage, in_memory_order, live_tensors, loose_values, scattered_tensors


class ScriptedWorker(WeightsExtension):
    """A worker of vLLM as far as the extension sees one; it keeps what it is told to load."""

    def __init__(self) -> None:
        self.device = torch.device("cpu")
        self.model_runner = SimpleNamespace(get_model=torch.nn.Module)
        self.loaded: dict[str, torch.Tensor] = {}

    def reload_weights(self, weights_iterator: Iterator[tuple[str, torch.Tensor]]) -> None:
        self.loaded = {name: tensor.clone() for name, tensor in weights_iterator}


def same(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


def fetched(worker: ScriptedWorker, name: str) -> dict[str, object]:
    deadline = time.monotonic() + 10
    while not (answer := worker.coe_weights_fetched(name)):
        assert time.monotonic() < deadline
        time.sleep(0.001)
    return answer


@pytest.mark.parametrize("dtype", ["BF16", "F32", "F16", "I8"])
@pytest.mark.parametrize("files", [1, 3])
def test_a_host_copy_gives_what_the_files_hold_whatever_becomes_of_them(tmp_path: Path, dtype: str, files: int) -> None:
    folder = write_checkpoint(tmp_path / "c", dtype=dtype, files=files)
    names = read_checkpoint(folder).files
    stored = {name: tensor.clone() for file in names for name, tensor in load_file(file).items()}
    copy = HostCopy(names, pin=False)
    for file in names:
        file.write_bytes(b"")
    assert same(dict(copy.tensors()), stored)
    assert copy.nbytes == sum(tensor.nbytes for tensor in stored.values())
    copy.free()
    assert copy.nbytes == 0


def test_tensors_that_are_not_aligned_are_read_too(tmp_path: Path) -> None:
    header = {
        "byte": {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]},
        "odd": {"dtype": "F32", "shape": [2], "data_offsets": [1, 9]},
    }
    raw, numbers = json.dumps(header).encode(), torch.tensor([1.5, -2.5])
    (tmp_path / WEIGHTS).write_bytes(
        len(raw).to_bytes(8, "little") + raw + b"\x07" + numbers.view(torch.uint8).numpy().tobytes()
    )
    tensors = dict(HostCopy([tmp_path / WEIGHTS], pin=False).tensors())
    assert (tensors["byte"].tolist(), tensors["odd"].tolist()) == ([7], [1.5, -2.5])


def test_a_file_that_is_cut_off_is_not_held(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c")
    cut_off(folder, 3)
    with pytest.raises(TensorFileError):
        HostCopy([folder / WEIGHTS], pin=False)


def test_a_worker_loads_the_same_from_disk_and_from_memory(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c", files=2)
    worker = ScriptedWorker()
    assert worker.coe_weights_replace("c", str(folder), "disk", [])["tier"] == "disk"
    from_disk = worker.loaded
    worker.coe_weights_fetch("c", str(folder))
    size = fetched(worker, "c")["bytes"]
    assert size == read_checkpoint(folder).nbytes
    assert worker.coe_weights_replace("c", "nowhere", "host", [])["tier"] == "host"
    assert same(worker.loaded, from_disk)
    assert worker.coe_weights_drop("c") == {"bytes": size}
    assert worker.coe_weights_replace("c", str(folder), "host", [])["tier"] == "disk"


@pytest.mark.parametrize("source", ["disk", "host"])
def test_a_worker_loads_all_but_what_is_unchanged(tmp_path: Path, source: str) -> None:
    folder = write_checkpoint(tmp_path / "c", files=2)
    worker = ScriptedWorker()
    worker.coe_weights_fetch("c", str(folder))
    fetched(worker, "c")
    unchanged = ["model.embed_tokens.weight", "model.norm.weight"]
    assert worker.coe_weights_replace("c", str(folder), source, unchanged)["tier"] == source
    assert worker.loaded.keys() == SHAPES.keys() - set(unchanged)


def test_a_fetch_says_why_it_did_not_come_about(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "c")
    cut_off(folder, 3)
    worker = ScriptedWorker()
    worker.coe_weights_fetch("c", str(folder))
    assert "bytes of tensors where its header announces" in str(fetched(worker, "c")["refused"])
    worker.coe_weights_fetch("c", str(folder))
    worker.coe_weights_drop("c")
    assert "given back" in str(fetched(worker, "c")["refused"])


class FusedLayer(torch.nn.Module):  # type: ignore[misc]  # torch's types are not read
    """As a kernel likes its weights: transposed, and with a buffer that loading derives from them."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.empty(8, 24, dtype=torch.bfloat16).t(), requires_grad=False)
        self.register_buffer("scale", torch.empty((), dtype=torch.float32))

    def load(self, seed: int) -> None:
        numbers = torch.randn(24, 8, generator=torch.Generator().manual_seed(seed))
        self.weight.data.copy_(numbers)
        self.scale.copy_(numbers.abs().max())


@pytest.fixture
def model() -> torch.nn.Module:
    layers = torch.nn.ModuleList([FusedLayer(), FusedLayer()])
    layers.register_parameter("tied", layers[0].weight)
    return layers


def load(model: torch.nn.Module, seed: int) -> dict[str, torch.Tensor]:
    for number, layer in enumerate(model):
        layer.load(seed + number)
    return {name: tensor.clone() for name, tensor in live_tensors(model).items()}


def test_an_image_brings_back_every_tensor_into_its_own_place(model: torch.nn.Module) -> None:
    live = live_tensors(model)
    places = {name: tensor.data_ptr() for name, tensor in live.items()}
    first = load(model, 1)
    image = KernelImage(live, pin=False)
    second = load(model, 5)
    assert not same(first, second)
    assert image.install(live_tensors(model)) == sum(tensor.nbytes for tensor in live.values())
    assert same(live_tensors(model), first)
    assert {name: tensor.data_ptr() for name, tensor in live_tensors(model).items()} == places


def test_tensors_with_two_names_are_held_once(model: torch.nn.Module) -> None:
    assert len(live_tensors(model)) == 4


def test_an_image_of_other_shapes_is_refused_before_anything_is_copied(model: torch.nn.Module) -> None:
    before = load(model, 1)
    other = torch.nn.Linear(3, 3)
    with pytest.raises(ValueError, match="not those that the image was taken of"):
        KernelImage(live_tensors(other), pin=False).install(live_tensors(model))
    assert same(live_tensors(model), before)


def test_what_an_image_would_miss_is_named(model: torch.nn.Module) -> None:
    assert loose_values(model) == []
    layer = model.get_submodule("1")
    layer.view_of_weight = layer.weight.view(-1) if layer.weight.is_contiguous() else layer.weight.t()
    layer.kv_cache = torch.ones(4)
    assert loose_values(model) == []
    layer.absorbed = torch.ones(4)
    assert loose_values(model) == ["1.absorbed"]


def test_what_every_engine_of_vllm_keeps_beside_its_weights_is_not_missed(model: torch.nn.Module) -> None:
    """By the names that vLLM gives them: scales of attention that are 1, and slots of adapters."""
    layer = model.get_submodule("1")
    layer._k_scale_cpu, layer._v_scale_cpu = torch.tensor(1.0), torch.tensor(1.0)
    layer._k_scale_float, layer._o_scale_float = 1.0, None
    layer.lora_a_stacked = torch.ones(4)
    assert loose_values(model) == []


def test_a_checkpoint_with_scales_of_its_own_for_attention_gets_no_image(model: torch.nn.Module) -> None:
    model.get_submodule("0")._k_scale_float = 0.5
    assert loose_values(model) == ["0._k_scale_float"]


def test_an_image_comes_back_into_a_buffer_that_a_forward_pass_has_made(model: torch.nn.Module) -> None:
    """As the rotary cache may be, which is cast where it is first used."""
    layer = model.get_submodule("0")
    with torch.inference_mode():
        layer.scale = torch.tensor(3.0)
    image = KernelImage(live_tensors(model), pin=False)
    with torch.inference_mode():
        layer.scale.fill_(7.0)
    image.install(live_tensors(model))
    assert layer.scale.item() == 3.0


def test_after_its_first_time_a_checkpoint_is_held_as_what_the_kernels_read(
    tmp_path: Path, model: torch.nn.Module
) -> None:
    store = HostStore(torch.device("cpu"), keep_images=True)
    store.fetch("c", [write_checkpoint(tmp_path / "c") / WEIGHTS])
    while store.fetched("c") is None:
        time.sleep(0.001)
    first = load(model, 1)  # as loading the checkpoint would leave them
    assert store.keep_image("c", model)
    assert store.copy("c") is None
    image = store.image("c")
    assert image is not None
    assert store.held() == {"c": image.nbytes}
    load(model, 5)
    store.install(image, model)
    assert same(live_tensors(model), first)
    assert store.drop("c") > sum(tensor.nbytes for tensor in first.values())
    assert store.held() == {}


def test_a_model_with_tensors_that_an_image_would_miss_is_held_as_a_checkpoint(
    tmp_path: Path, model: torch.nn.Module
) -> None:
    store = HostStore(torch.device("cpu"), keep_images=True)
    store.fetch("c", [write_checkpoint(tmp_path / "c") / WEIGHTS])
    while store.fetched("c") is None:
        time.sleep(0.001)
    model.absorbed = torch.ones(4)
    assert not store.keep_image("c", model)
    assert store.copy("c") is not None
    assert store.image("c") is None


class PackingLayer(torch.nn.Module):  # type: ignore[misc]  # torch's types are not read
    """As a CPU engine's: what answers is a packed copy of its weight."""

    def __init__(self, weight: torch.nn.Parameter) -> None:
        super().__init__()
        self.weight = weight
        self.quant_method = self
        self.process_weights_after_loading(self)

    def process_weights_after_loading(self, layer: "PackingLayer") -> None:
        packed = layer.weight.clone()
        layer.cpu_linear = lambda: packed


def test_methods_whose_packed_weights_no_reload_reaches_are_named() -> None:
    """By the names that vLLM gives them."""

    def layer(method: str) -> torch.nn.Module:
        module = torch.nn.Module()
        module.quant_method = type(method, (), {})()
        return module

    known = {"linear": layer("UnquantizedLinearMethod"), "embed": layer("UnquantizedEmbeddingMethod")}
    assert layers_not_reached(torch.nn.ModuleDict(known)) == []
    experts = {f"experts{number}": layer("UnquantizedFusedMoEMethod") for number in range(2)}
    assert layers_not_reached(torch.nn.ModuleDict(known | experts)) == ["UnquantizedFusedMoEMethod of `experts0`"]


@pytest.mark.parametrize("loaded", ["embed", "head"])
def test_layers_that_share_a_weight_all_answer_with_the_new_one(loaded: str) -> None:
    weight, own = (torch.nn.Parameter(torch.zeros(4), requires_grad=False) for _ in range(2))
    model = torch.nn.ModuleDict({"embed": PackingLayer(weight), "head": PackingLayer(weight), "own": PackingLayer(own)})
    tied = tied_layers(model)
    weight.data.fill_(7)
    for name in (loaded, "own"):  # as vLLM reloads them
        model[name].process_weights_after_loading(model[name])
    assert repack(tied) == [{"embed": "head", "head": "embed"}[loaded]]
    assert torch.equal(model["embed"].cpu_linear(), weight)
    assert torch.equal(model["head"].cpu_linear(), weight)


def test_layers_whose_shared_weight_was_left_alone_are_not_packed_again() -> None:
    weight = torch.nn.Parameter(torch.zeros(4), requires_grad=False)
    model = torch.nn.ModuleDict({"embed": PackingLayer(weight), "head": PackingLayer(weight)})
    assert repack(tied_layers(model)) == []


def test_tensors_with_gaps_are_named() -> None:
    whole = torch.arange(12).view(3, 4)
    assert scattered_tensors({"whole": whole, "turned": whole.t(), "gaps": whole[:, :2]}) == ["gaps"]
    assert in_memory_order(whole.t()).tolist() == list(range(12))
