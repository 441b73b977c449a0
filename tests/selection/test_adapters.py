"""How alike two LoRA adapters are."""

from pathlib import Path

import numpy as np
import orjson
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from coe.errors import ConfigError
from coe.selection.adapters import (
    WEIGHTS_FILE,
    Adapter,
    AdapterLikeness,
    LoraLayer,
    read_adapter,
    similarity_of,
)
from coe.selection.scoring import Candidate
from tests.selection.planted import candidate

PREFIX = "base_model.model.model.layers"
Array = NDArray[np.float64]


def adapter(seed: int, rank: int = 4, layers: tuple[str, ...] = ("q", "v")) -> dict[str, LoraLayer]:
    rng = np.random.default_rng(seed)
    return {
        layer: LoraLayer(down=rng.standard_normal((rank, 12)), up=rng.standard_normal((20, rank))) for layer in layers
    }


def product(layer: LoraLayer) -> Array:
    return layer.up @ layer.down


def expected(one: Adapter, other: Adapter) -> float:
    pairs = [(product(one[layer]).ravel(), product(other[layer]).ravel()) for layer in one]
    return float(np.mean([abs(a @ b) / (np.linalg.norm(a) * np.linalg.norm(b)) for a, b in pairs]))


def test_the_cosine_is_that_of_the_products_whatever_the_ranks() -> None:
    one, other = adapter(1, rank=4), adapter(2, rank=7)
    assert similarity_of(one, other) == pytest.approx(expected(one, other))
    assert similarity_of(one, one) == pytest.approx(1)


def test_other_factors_of_the_same_update_are_the_same_adapter() -> None:
    one = adapter(1)
    mix = np.random.default_rng(3).standard_normal((4, 4))
    same = {
        name: LoraLayer(down=mix @ layer.down, up=-2 * layer.up @ np.linalg.inv(mix)) for name, layer in one.items()
    }
    assert similarity_of(one, same) == pytest.approx(1)


def test_a_layer_that_only_one_changes_is_not_alike() -> None:
    one = adapter(1)
    half = {"q": one["q"]}
    assert similarity_of(one, half) == pytest.approx(0.5)


def test_an_adapter_that_changes_nothing_is_like_no_other() -> None:
    one = adapter(1)
    idle = {name: LoraLayer(layer.down, np.zeros_like(layer.up)) for name, layer in one.items()}
    assert similarity_of(one, idle) == 0


def test_adapters_of_different_base_models_cannot_be_compared() -> None:
    one = adapter(1)
    wider = {name: LoraLayer(np.ones((4, 13)), layer.up) for name, layer in one.items()}
    with pytest.raises(ConfigError, match="shapes differ in q"):
        similarity_of(one, wider)


def save(folder: Path, layers: Adapter, kind: type[np.float32 | np.float16] = np.float32) -> Path:
    """As peft writes it."""
    tensors = {}
    for name, layer in layers.items():
        tensors[f"{PREFIX}.0.{name}_proj.lora_A.weight"] = layer.down.astype(kind)
        tensors[f"{PREFIX}.0.{name}_proj.lora_B.weight"] = layer.up.astype(kind)
    save_file(tensors, folder / WEIGHTS_FILE)
    return folder


@pytest.mark.parametrize("kind", [np.float32, np.float16])
def test_factors_are_read_from_pefts_file(tmp_path: Path, kind: type[np.float32 | np.float16]) -> None:
    written = adapter(1)
    read = read_adapter(save(tmp_path, written, kind))
    assert list(read) == [f"{PREFIX}.0.q_proj", f"{PREFIX}.0.v_proj"]
    np.testing.assert_allclose(product(read[f"{PREFIX}.0.q_proj"]), product(written["q"]), atol=0.05)


def test_bfloat16_is_read(tmp_path: Path) -> None:
    """bfloat16 is the upper half of float32: values that need no more bits come back as they are."""
    values = np.array([[1.0, -2.5], [0.15625, 3.0]], np.float32)
    half = (values.view(np.uint32) >> 16).astype(np.uint16).tobytes()
    kind = {"dtype": "BF16", "shape": [2, 2]}
    header = orjson.dumps(
        {
            "m.lora_A.weight": kind | {"data_offsets": [0, 8]},
            "m.lora_B.weight": kind | {"data_offsets": [8, 16]},
        }
    )
    (tmp_path / WEIGHTS_FILE).write_bytes(len(header).to_bytes(8, "little") + header + half + half)
    np.testing.assert_array_equal(read_adapter(tmp_path)["m"].down, values)


def test_what_is_no_adapter_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Name the folder of a LoRA adapter"):
        read_adapter(tmp_path)
    (tmp_path / WEIGHTS_FILE).write_bytes(b"nothing")
    with pytest.raises(ConfigError, match="is no safetensors file"):
        read_adapter(tmp_path)
    save_file({"m.lora_A.weight": np.ones((2, 2))}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ConfigError, match="no complete pairs"):
        read_adapter(tmp_path)
    save_file({f"m.lora_{part}.weight": np.ones((2, 2), np.int32) for part in "AB"}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(ConfigError, match="has the type I32"):
        read_adapter(tmp_path)


def test_the_same_weights_or_the_same_words_make_duplicates() -> None:
    def named(name: str, wording: str | None = None) -> Candidate:
        return candidate(name, [True, False], [1.0, 1.0], wording)

    compare = AdapterLikeness({"a": adapter(1), "copy": adapter(1), "b": adapter(2)})
    assert compare(named("a"), named("copy")).duplicate
    assert not compare(named("a"), named("b")).duplicate
    assert compare(named("a", "x"), named("b", "x")).duplicate
