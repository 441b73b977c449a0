"""The room that an engine keeps for adapters: how many, how high, and in which layers."""

from pathlib import Path

import pytest

from tests.workers.adapter_files import write_base
from workers.adapters.base_layers import BaseLayers, Size, read_base
from workers.adapters.loading import LoraRoom, lora_arguments, lora_room
from workers.spec import ModelSpec

MODEL = ModelSpec(name="smol", source="path:x")
USUAL = frozenset({"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"})


def layers(*names: str, complete: bool = True) -> BaseLayers:
    return BaseLayers(dict.fromkeys(names, Size(4, 4)), complete, {})


def test_the_usual_layers_are_known_by_their_weights(tmp_path: Path) -> None:
    assert read_base(write_base(tmp_path / "base")).usual_layers() == USUAL


@pytest.mark.parametrize(
    "base",
    [
        layers("model.layers.0.mlp.down_proj", "model.layers.0.mlp.experts.0.w1"),
        layers("model.layers.0.self_attn.qkv_proj"),
        layers("model.layers.0.mlp.down_proj", complete=False),  # of config.json, which many models resemble
    ],
)
def test_of_another_model_none_are(base: BaseLayers) -> None:
    assert base.usual_layers() == frozenset()


def test_adapters_of_usual_layers_leave_the_output_layer_alone() -> None:
    room = lora_room(MODEL, [{"r": 8, "target_modules": ["q_proj"]}, None, {"r": 20}], USUAL)
    assert room == LoraRoom(3, 32, 3, USUAL)
    assert lora_arguments(room)[-8:] == ["--lora-target-modules", *sorted(USUAL)]


@pytest.mark.parametrize("targets", [["q_proj", "lm_head"], "all-linear", r".*\.mlp\..*", [{}]])
def test_an_adapter_of_other_layers_opens_all(targets: object) -> None:
    room = lora_room(MODEL, [{"r": 8, "target_modules": ["q_proj"]}, {"r": 8, "target_modules": targets}], USUAL)
    assert room.layers == frozenset()
    assert "--lora-target-modules" not in lora_arguments(room)


def test_a_rank_that_cannot_be_read_is_guessed() -> None:
    assert lora_room(MODEL, [{"r": "eight"}, None], frozenset()).max_rank == 16
