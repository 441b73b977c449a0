"""Which adapters may go into an engine, and what is said of the others."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.workers.adapter_files import HIDDEN, KEYS, WEIGHTS, tear, write_adapter, write_base
from workers.adapters.base_layers import BaseLayers, read_base
from workers.adapters.check import check_adapter
from workers.errors import AdapterRefusedError
from workers.tensor_header import TensorFileError, read_header

Q_PROJ = "base_model.model.model.layers.0.self_attn.q_proj"


@pytest.fixture
def base(tmp_path: Path) -> BaseLayers:
    return read_base(write_base(tmp_path / "base"))


def check(folder: Path, base: BaseLayers, max_rank: int = 16) -> None:
    check_adapter(folder, base, model="smol", max_rank=max_rank)


@pytest.mark.parametrize("files", [0, 1, 3])
@pytest.mark.parametrize(
    ("module", "size"),
    [
        ("model.layers.0.self_attn.q_proj", (HIDDEN, HIDDEN)),
        ("model.layers.1.self_attn.v_proj", (KEYS, HIDDEN)),
        ("model.layers.1.mlp.down_proj", (HIDDEN, 24)),
        ("model.language_model.layers.1.mlp.up_proj", (24, HIDDEN)),  # the same layer under another prefix
    ],
)
def test_an_adapter_that_fits_is_let_in_however_the_base_is_stored(
    tmp_path: Path, files: int, module: str, size: tuple[int, int]
) -> None:
    write_adapter(tmp_path / "a", module=module, size=size)
    check(tmp_path / "a", read_base(write_base(tmp_path / "b", files=files)))


@pytest.mark.parametrize("files", [0, 1, 3])
@pytest.mark.parametrize(
    ("module", "size", "told"),
    [
        ("model.layers.0.self_attn.k_proj", (HIDDEN, HIDDEN), r"as 16 x 16, where the model has 8 x 16"),
        ("model.layers.0.mlp.down_proj", (HIDDEN, HIDDEN), r"as 16 x 16, where the model has 16 x 24"),
        ("model.layers.7.self_attn.q_proj", (HIDDEN, HIDDEN), r"layers\.7\S+, which the model does not have"),
    ],
)
def test_an_adapter_for_another_base_is_refused(
    tmp_path: Path, files: int, module: str, size: tuple[int, int], told: str
) -> None:
    write_adapter(tmp_path / "a", module=module, size=size, config={"base_model_name_or_path": "org/other"})
    with pytest.raises(AdapterRefusedError, match=told) as refused:
        check(tmp_path / "a", read_base(write_base(tmp_path / "b", files=files)))
    assert "made for another base than model `smol` (`adapter_config.json` names `org/other`)" in str(refused.value)
    assert "train the adapter on this one" in str(refused.value)


def test_a_layer_that_the_weights_do_not_have_is_refused(tmp_path: Path, base: BaseLayers) -> None:
    write_adapter(tmp_path / "a", module="model.layers.0.attention.wq")
    with pytest.raises(AdapterRefusedError, match="which the model does not have"):
        check(tmp_path / "a", base)


def test_of_a_base_that_tells_nothing_nothing_is_demanded(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_text("{}")
    write_adapter(tmp_path / "a", module="model.layers.0.attention.wq")
    check(tmp_path / "a", read_base(tmp_path / "b"))


def test_tied_output_embeddings_are_found_where_they_are_kept(tmp_path: Path, base: BaseLayers) -> None:
    write_adapter(tmp_path / "a", module="lm_head", size=(100, HIDDEN))
    check(tmp_path / "a", base)


def test_a_layer_that_the_engine_has_no_room_in_is_refused(tmp_path: Path, base: BaseLayers) -> None:
    write_adapter(tmp_path / "a", module="lm_head", size=(100, HIDDEN))
    told = r"it changes `lm_head`, and the engine of model `smol` was started for adapters of down_proj, gate_proj, .*"
    with pytest.raises(AdapterRefusedError, match=told):
        check_adapter(tmp_path / "a", base, model="smol", max_rank=16, layers=base.usual_layers())


def test_an_embedding_has_its_factors_the_other_way_round(tmp_path: Path, base: BaseLayers) -> None:
    stem = "base_model.model.model.embed_tokens.lora_embedding_"
    write_adapter(tmp_path / "a", tensors={f"{stem}A": (8, 100), f"{stem}B": (HIDDEN, 8)})
    check(tmp_path / "a", base)
    write_adapter(tmp_path / "a", tensors={f"{stem}A": (8, 99), f"{stem}B": (HIDDEN, 8)})
    with pytest.raises(AdapterRefusedError, match="where the model has"):
        check(tmp_path / "a", base)


def test_a_rank_above_the_engines_is_refused_with_the_setting_to_raise(tmp_path: Path, base: BaseLayers) -> None:
    write_adapter(tmp_path / "a", rank=20)
    with pytest.raises(AdapterRefusedError, match=r"rank 20, .* at most 16: raise `models\.smol\.max_lora_rank` to 32"):
        check(tmp_path / "a", base)
    check(tmp_path / "a", base, max_rank=32)


def test_a_pattern_may_give_layers_another_rank(tmp_path: Path, base: BaseLayers) -> None:
    write_adapter(tmp_path / "a", rank=8, config={"r": 4, "rank_pattern": {"self_attn.q_proj": 8}})
    check(tmp_path / "a", base)
    with pytest.raises(AdapterRefusedError, match="rank 8, and the engine"):
        check(tmp_path / "a", base, max_rank=4)


@pytest.mark.parametrize("rank", [None, 0, -1, 1.5, "8", True])
def test_a_rank_is_a_whole_number(tmp_path: Path, base: BaseLayers, rank: object) -> None:
    write_adapter(tmp_path / "a", config={"r": rank})
    with pytest.raises(AdapterRefusedError, match="must be a whole number above 0"):
        check(tmp_path / "a", base)


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"peft_type": "LOHA"}, "`LORA` alone"),
        ({"use_dora": True}, "without DoRA"),
        ({"bias": "all"}, "`bias: none`"),
        ({"modules_to_save": ["lm_head"]}, "without `modules_to_save`"),
        ({"init_lora_weights": "pissa"}, "plain LoRA"),
        ({"lora_alpha": None}, "no `lora_alpha`"),
        ({"r": 4}, "have rank 8, but `adapter_config.json` says 4"),
    ],
)
def test_what_engines_do_not_serve_is_refused(
    tmp_path: Path, base: BaseLayers, config: dict[str, object], told: str
) -> None:
    write_adapter(tmp_path / "a", config=config)
    with pytest.raises(AdapterRefusedError, match=told):
        check(tmp_path / "a", base)


@pytest.mark.parametrize(
    ("tensors", "told"),
    [
        ({f"{Q_PROJ}.lora_B.weight": ()}, "no `lora_B` for `model.layers.0.self_attn.q_proj`"),
        ({f"{Q_PROJ}.lora_B.weight": (16, 4)}, "do not fit each other"),
        ({f"{Q_PROJ}.lora_magnitude_vector": (16,)}, "no part of a plain LoRA"),
        ({f"{Q_PROJ}.lora_A.weight": (), f"{Q_PROJ}.lora_B.weight": (), "x": ()}, "holds no LoRA weights"),
    ],
)
def test_weights_that_are_no_pairs_are_refused(
    tmp_path: Path, base: BaseLayers, tensors: dict[str, tuple[int, ...]], told: str
) -> None:
    write_adapter(tmp_path / "a", tensors=tensors)
    with pytest.raises(AdapterRefusedError, match=told):
        check(tmp_path / "a", base)


@pytest.mark.parametrize("kept", [0, 7, 100, None])
def test_torn_weights_are_refused(tmp_path: Path, base: BaseLayers, kept: int | None) -> None:
    write_adapter(tmp_path / "a")
    tear(tmp_path / "a", kept)
    with pytest.raises(AdapterRefusedError, match=f"`{WEIGHTS}` is damaged or incomplete, .* adapter again"):
        check(tmp_path / "a", base)


def test_missing_and_unreadable_files_are_named(tmp_path: Path, base: BaseLayers) -> None:
    with pytest.raises(AdapterRefusedError, match=r"`adapter_config\.json` cannot be read"):
        check(tmp_path / "a", base)
    write_adapter(tmp_path / "a")
    (tmp_path / "a" / WEIGHTS).unlink()
    with pytest.raises(AdapterRefusedError, match=r"there is no `.*adapter_model\.safetensors`"):
        check(tmp_path / "a", base)
    (tmp_path / "a" / "adapter_config.json").write_text("[]")
    with pytest.raises(AdapterRefusedError, match="not a JSON object"):
        check(tmp_path / "a", base)


def header_of(entries: object, stored: int) -> bytes:
    raw = json.dumps(entries).encode()
    return len(raw).to_bytes(8, "little") + raw + bytes(stored)


@pytest.mark.parametrize(
    "data",
    [
        header_of([], 0),
        header_of({"x": {"dtype": "F32", "shape": [2], "data_offsets": [0, 4]}}, 4),
        header_of({"x": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}, 8),
        header_of({"x": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, 5),
        header_of({"x": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, 4),
        header_of({"x": {"dtype": "F32", "shape": 4, "data_offsets": [0, 4]}}, 4),
        header_of({"x": {"dtype": "F32", "shape": [1]}}, 4),
        b"\xff" * 20,
    ],
)
def test_a_header_that_does_not_account_for_its_file_is_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x").write_bytes(data)
    with pytest.raises(TensorFileError):
        read_header(tmp_path / "x")


@given(data=st.binary(max_size=300), announced=st.integers(0, 400))
def test_any_bytes_are_a_whole_file_or_a_torn_one(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, announced: int
) -> None:
    file = tmp_path_factory.getbasetemp() / "bytes.safetensors"
    file.write_bytes(announced.to_bytes(8, "little") + data)
    with suppress(TensorFileError):  # and nothing else is raised
        assert read_header(file) == {}  # chance writes no tensor
